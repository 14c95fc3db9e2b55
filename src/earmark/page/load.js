// @ts-check
// The door by which all data enter: scripts from the folder beside the page, each asked for once.
"use strict";

/** @type {Map<string, Promise<any>>} */
const asked = new Map();
/** @type {Map<string, any>} */
const arrived = new Map();
/** @type {string[]} */
const requests = [];

var earmark = {
  /** What each data script calls. @param {string} key @param {any} value */
  put(key, value) {
    arrived.set(key, value);
  },
  /** Keys asked for so far, in order. */
  asked: () => [...requests],
  /** The present mix as it would be played; set once there is one. @type {() => Promise<Float32Array>} */
  render: () => Promise.reject(new Error("Nothing to play is shown.")),
  /** Where playing stands: set with `render`. */
  playing: () => ({
    playing: false,
    position: 0,
    start: 0,
    offset: 0,
    time: 0,
    latency: 0,
    gains: /** @type {number[]} */ ([]),
  }),
};

/** Where this script lies, and all that the page loads beside it. */
const folder = new URL(".", /** @type {HTMLScriptElement} */ (document.currentScript).src).href;

/** @param {string} file in the folder of this script */
function addressOf(file) {
  return folder + file.split("/").map(encodeURIComponent).join("/");
}

/**
 * The value stored under a key; asked for again after a failure.
 * @param {string} key
 * @returns {Promise<any>}
 */
function load(key) {
  const known = asked.get(key);
  if (known) return known;
  const address = addressOf(`${key}.js`);
  const coming = new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const fail = () =>
      reject(new Error(`${address} cannot be read: copy the whole folder of this page, or run the workflow again.`));
    script.src = address;
    script.onerror = fail;
    script.onload = () => {
      script.remove();
      if (!arrived.has(key)) return fail();
      const whole = { value: arrived.get(key) };
      Promise.all(completing(whole)).then(() => resolve(whole.value), reject);
    };
    document.head.append(script);
  });
  asked.set(key, coming);
  coming.catch(() => asked.delete(key));
  requests.push(key);
  return coming;
}

/** Bits of bytes in a letter, and the letter of 0: as files.py packs them. */
const BITS = 15;
const FIRST = 0x4000;

/** Bytes that were put in letters. @param {Packed} packed */
function unpacked({ size, letters }) {
  const bytes = new Uint8Array(size);
  let [held, count, filled] = [0, 0, 0];
  for (let n = 0; n < letters.length; n++) {
    held = (held << BITS) | (letters.charCodeAt(n) - FIRST);
    for (count += BITS; count >= 8 && filled < size; filled++) {
      count -= 8;
      bytes[filled] = held >> count;
      held &= (1 << count) - 1;
    }
  }
  return bytes;
}

/** Bytes that zlib made fewer. @param {Packed} packed */
async function inflated(packed) {
  const bytes = new Blob([unpacked(packed)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(bytes).arrayBuffer());
}

/**
 * Put in place what a value lacks: maps that are packed, and what stands in a file of its own since others hold it too.
 * @param {any} value an object or array, changed
 * @returns {Promise<any>[]} all that is under way
 */
function completing(value) {
  return Object.entries(value).flatMap(([name, part]) => {
    if (typeof part !== "object" || part === null) return [];
    if ("stored" in part) return [load(part.stored).then((found) => (value[name] = found))];
    if ("deflated" in part) {
      const { deflated, ...cells } = part;
      return [inflated(deflated).then((bytes) => (value[name] = { ...cells, bytes }))];
    }
    return completing(part);
  });
}

/** Let go of a value that is kept in another form. @param {string} key */
function forget(key) {
  asked.delete(key);
  arrived.delete(key);
}

/** A light or dark page that was chosen before; some browsers keep nothing for pages on disk. */
function keptTheme() {
  try {
    return localStorage.getItem("earmark-theme");
  } catch {
    return null;
  }
}

/** @param {"light" | "dark"} theme */
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("earmark-theme", theme);
  } catch {
    // the page stays as chosen until it is closed
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// Before the first paint, so that nothing flashes.
document.documentElement.dataset.theme = keptTheme() ?? "";
