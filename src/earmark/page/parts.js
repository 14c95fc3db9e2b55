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

/** @param {number} value @param {number} [digits] significant ones */
function show(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text =
    size >= 1e6 || (size > 0 && size < 1e-4)
      ? value.toExponential(digits - 1)
      : value.toFixed(size > 0 ? Math.min(6, Math.max(0, digits - 1 - Math.floor(Math.log10(size)))) : 0);
  return text.replace("-", "−");
}

/** @param {number} part */
function percent(part) {
  return `${Math.round(100 * part)} %`.replace("-", "−");
}

/** @param {string[]} words */
function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;
}

/** @param {string} name of a sound or map */
function titleOf(name) {
  const number = /^concept(\d+)$/.exec(name)?.[1];
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
 * @param {number} value
 * @param {number} most what fills it
 */
function bar(value, most) {
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

/** Mark another value as chosen. @param {string} name @param {string} value */
function mark(name, value) {
  for (const input of byId(name).querySelectorAll("input")) input.checked = input.value === value;
  for (const select of byId(name).querySelectorAll("select")) select.value = value;
}

/** @param {string[]} sentences */
function noteList(sentences) {
  return sentences.length ? make("ul", { class: "notes" }, ...sentences.map((text) => make("li", {}, text))) : null;
}

/** What went wrong, as a sentence on the page. @param {unknown} error */
function sentenceOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** Change a live region only where its sentence is another. @param {HTMLElement} place @param {string} sentence */
function say(place, sentence) {
  if (place.textContent !== sentence) place.textContent = sentence;
}
