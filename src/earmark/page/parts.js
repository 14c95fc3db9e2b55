// @ts-check
// Elements, and how numbers and names are written. Every text enters as a text node.
"use strict";

/**
 * An element; functions among its attributes listen to the event they are named after.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | number | boolean | null | ((event: any) => void)>} attributes
 * @param {...(Node | string | null)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** @param {string} id */
function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * Fill an element anew; what had the focus has it again if it is there again.
 * @param {HTMLElement} place
 * @param {...Node} children
 */
function refill(place, ...children) {
  const focused = place.contains(document.activeElement) ? document.activeElement?.id : "";
  place.replaceChildren(...children);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

/** @param {number | null} value null where it is not known @param {number} [digits] significant ones */
function show(value, digits = 3) {
  if (value === null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text =
    size >= 1e6 || (size > 0 && size < 1e-4)
      ? value.toExponential(digits - 1)
      : value.toFixed(size > 0 ? Math.min(6, Math.max(0, digits - 1 - Math.floor(Math.log10(size)))) : 0);
  return text.replace("-", "−");
}

/** @param {number | null} part null where it is not known */
function percent(part) {
  return part === null ? "–" : `${Math.round(100 * part)} %`.replace("-", "−");
}

/** @param {string[]} words */
function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;
}

/** The number of a concept; 0 for all else. @param {string} name of a sound or map */
function numberOf(name) {
  return Number(/^concept(\d+)$/.exec(name)?.[1] ?? 0);
}

/** @param {string} name of a sound or map */
function titleOf(name) {
  const number = numberOf(name);
  if (number) return `Concept ${number}`;
  const titles = {
    input: "Input",
    standard: "Standard explanation",
    bypass: "Bypass",
    rest: "Rest",
    positive: "Samples for the class",
    negative: "Samples against it",
  };
  return titles[/** @type {keyof typeof titles} */ (name)] ?? name;
}

/**
 * A bar beside a number, which says the same.
 * @param {number | null} value null where it is not known
 * @param {number} most what fills it
 */
function bar(value, most) {
  if (value === null) return null;
  const inner = make("span", { class: value < 0 ? "against" : "for" });
  inner.style.width = `${Math.min(100, (100 * Math.abs(value)) / (most || 1))}%`;
  return make("span", { class: "bar", "aria-hidden": "true" }, inner);
}

/**
 * Chips of which one is chosen; a list to open where there are many.
 * @param {string} name
 * @param {string} title
 * @param {{value: string, text: string, off?: boolean, more?: Node}[]} options
 * @param {string} chosen
 * @param {(value: string) => void} choose
 * @returns {HTMLFieldSetElement}
 */
function choice(name, title, options, chosen, choose) {
  if (options.length > 12) return longChoice(name, title, options, chosen, choose);
  const chips = options.map(({ value, text, off, more }, i) => {
    const input = make("input", {
      type: "radio",
      name,
      value,
      id: `${name}-${i}`,
      checked: value === chosen,
      disabled: !!off,
      change: () => choose(value),
    });
    return make("label", { class: "chip" }, input, make("span", {}, more ?? null, text));
  });
  return make(
    "fieldset",
    { id: name, class: "choice" },
    make("legend", {}, title),
    make("div", { class: "chips" }, ...chips),
  );
}

/** @type {typeof choice} */
function longChoice(name, title, options, chosen, choose) {
  const entries = options.map(({ value, text, off }) =>
    make("option", { value, selected: value === chosen, disabled: !!off }, text),
  );
  const select = make("select", { id: `${name}-list`, change: () => choose(select.value) }, ...entries);
  return make(
    "fieldset",
    { id: name, class: "choice" },
    make("legend", {}, title),
    make("label", { class: "long" }, make("span", { class: "unseen" }, title), select),
  );
}

/** Mark another value of a choice as chosen. @param {HTMLElement} list @param {string} value */
function mark(list, value) {
  for (const input of list.querySelectorAll("input")) input.checked = input.value === value;
  for (const select of list.querySelectorAll("select")) select.value = value;
}

/** @param {string[]} sentences */
function noteList(sentences) {
  return sentences.length ? make("ul", { class: "notes" }, ...sentences.map((text) => make("li", {}, text))) : null;
}

/**
 * Where playing stands, to be moved; a key moves it by a hundredth.
 * @param {string} label
 * @param {number} seconds of the whole
 * @param {(seconds: number) => void} seek
 */
function positionBar(label, seconds, seek) {
  const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 };
  const range = make("input", {
    type: "range",
    min: 0,
    max: seconds,
    step: 0.001,
    value: 0,
    "aria-label": label,
    input: () => seek(Number(range.value)),
    keydown: (/** @type {KeyboardEvent} */ event) => {
      const step = steps[/** @type {keyof typeof steps} */ (event.key)];
      if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      seek(Math.min(seconds, Math.max(0, Number(range.value) + (step * seconds) / 100)));
    },
  });
  return range;
}

/** What went wrong, as a sentence on the page. @param {unknown} error */
function sentenceOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** Change a live region only where its sentence is another. @param {HTMLElement} place @param {string} sentence */
function say(place, sentence) {
  if (place.textContent !== sentence) place.textContent = sentence;
}
