"""What Earmark takes of zennit: hooks and composites, without the rest of the package.

``import zennit`` loads torchvision's models for canonizers that nothing here uses, and these load torch's compiler:
together as long as torch itself, in every one of hundreds of jobs.
"""

from __future__ import annotations

import sys
import types

if "zennit" in sys.modules:
    from zennit.core import Composite, Hook
else:
    # An empty module stands in for the canonizers while zennit is imported; later imports find the real one.
    sys.modules["zennit.torchvision"] = types.ModuleType("zennit.torchvision")
    try:
        from zennit.core import Composite, Hook
    finally:
        del sys.modules["zennit.torchvision"]
    del sys.modules["zennit"].torchvision

__all__ = ["Composite", "Hook"]
