// @ts-check
// What stands around every section: the data set, what there is to choose from, and what to know of a choice.
"use strict";

/** @param {Data} data */
function headLine(data) {
  const accuracy = data.accuracy === null ? "" : ` · accuracy ${show(100 * data.accuracy)} %`;
  return [
    make("strong", {}, data.dataset),
    ` · ${data.answers.length} ${data.answers.length === 1 ? "class" : "classes"}${accuracy} · ${data.kind} · ${data.rate / 1000} kHz${data.split === "main" ? "" : ` · network ${data.split}`}`,
  ];
}

/** @param {Data} data */
function fillHeader(data) {
  byId("about").replaceChildren(...headLine(data));
  const others = byId("others");
  // In a report of Snakemake, which takes the folder alone, no other page lies beside it.
  const alone = new URL(".", location.href).href === folder;
  others.hidden = alone || !data.others.length;
  others.replaceChildren(
    "Other data sets: ",
    ...data.others.map((name) => make("a", { href: `../../${encodeURIComponent(name)}/report/index.html` }, name)),
  );
}

function keepTheme() {
  const button = byId("theme");
  const update = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    repaint();
  };
  button.addEventListener("click", () => {
    setTheme(isDark() ? "light" : "dark");
    update();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", update);
  update();
}

/** @param {App} app */
function fillChooser(app) {
  const { data, state } = app;
  const { view } = state;
  const computed = (/** @type {keyof Coordinates} */ axis) => new Set(data.views.map((one) => one[axis]));
  /** @param {keyof Coordinates} axis @param {string} title @param {{value: string | number, text: string}[]} options */
  const axisChoice = (axis, title, options) =>
    choice(
      axis,
      title,
      options.map(({ value, text }) => ({
        value: String(value),
        text: computed(axis).has(value) ? text : `${text} (not computed)`,
        off: !computed(axis).has(value),
      })),
      String(view[axis]),
      (value) => app.go({ view: { ...app.state.view, [axis]: axis === "k" ? Number(value) : value } }, axis),
    );
  const named = (/** @type {(string | number)[]} */ values) => values.map((value) => ({ value, text: String(value) }));
  const classes = data.classes.map((cls) => ({ value: cls.slug, text: cls.name, off: !computed("cls").has(cls.slug) }));
  const { views } = data;
  byId("chooser").replaceChildren(
    make(
      "div",
      { class: "axes" },
      choice("cls", "Class", classes, view.cls, (value) => app.go({ view: { ...app.state.view, cls: value } }, "cls")),
      axisChoice(
        "layer",
        "Layer",
        named(
          unique(
            data.layers,
            views.map((one) => one.layer),
          ),
        ),
      ),
      axisChoice(
        "method",
        "Method",
        named(
          unique(
            data.methods.map((method) => method.name),
            views.map((one) => one.method),
          ),
        ),
      ),
      axisChoice(
        "k",
        "Concepts (K)",
        named(
          unique(
            data.ks,
            views.map((one) => one.k),
          ).sort((a, b) => a - b),
        ),
      ),
    ),
    ...data.classes
      .filter((cls) => !computed("cls").has(cls.slug))
      .map((cls) =>
        make(
          "p",
          { class: "quiet" },
          cls.reason ? `${cls.name} has no clips: ${cls.reason}` : `${cls.name} was not explained.`,
        ),
      ),
  );
}

/** @param {App} app */
function fillSections({ data, state }) {
  byId("sections").replaceChildren(
    ...SECTIONS.filter(({ name }) => data.sections.includes(name)).map(({ name, title }) =>
      make(
        "a",
        {
          href: linkTo({ ...state, section: name, table: "" }),
          id: `to-${name}`,
          "aria-current": name === state.section ? "page" : null,
        },
        title,
      ),
    ),
  );
}

/** @param {string[]} remarks */
function fillRemarks(remarks) {
  byId("remarks").replaceChildren();
  addRemarks(remarks);
}

/** @param {string[]} remarks */
function addRemarks(remarks) {
  byId("remarks").append(...remarks.map((text) => make("p", { class: "notice" }, text)));
}
