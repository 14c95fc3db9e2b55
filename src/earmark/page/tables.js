// @ts-check
// Tables and figures of the whole data set, those of the present view first, and notes on it.
"use strict";

const PORTION = 200;

/** @param {App} app */
function tablesSection(app) {
  const { tables } = app.data;
  return make(
    "section",
    { "aria-labelledby": "tables-title" },
    make("h2", { id: "tables-title" }, "Tables"),
    make(
      "p",
      { class: "lead" },
      tables.length
        ? `Rows are those of ${nameOf(app.data, app.view)}, where a table tells views apart.`
        : "No table was made: run the workflow with tables, then open this page again.",
    ),
    ...tables.map((entry) => tableFold(app, entry)),
  );
}

/** @param {App} app @param {TableEntry} entry */
function tableFold(app, entry) {
  const body = make("div", {}, make("p", { role: "status" }, "Loading the table …"));
  const fold = make(
    "details",
    { class: "fold", id: `table-${entry.name}` },
    make("summary", {}, entry.title, make("span", { class: "quiet" }, ` ${entry.rows} rows`)),
    body,
  );
  let asked = false;
  const every = make("input", { type: "checkbox", id: `all-${entry.name}` });
  every.checked = app.state.table === entry.name && app.state.rows === "all";
  const note = () => {
    if (fold.open) Object.assign(app.state, { table: entry.name, rows: every.checked ? "all" : "" });
    else if (app.state.table === entry.name) Object.assign(app.state, { table: "", rows: "" });
    app.note();
  };
  every.addEventListener("change", note);
  fold.addEventListener("toggle", () => {
    note();
    if (!fold.open || asked) return;
    asked = true;
    load(entry.key).then(
      (table) => body.replaceChildren(tableBody(app, entry, table, every)),
      (error) => {
        asked = false;
        body.replaceChildren(make("p", { class: "notice", role: "alert" }, sentenceOf(error)));
      },
    );
  });
  fold.open = app.state.table === entry.name;
  return fold;
}

/**
 * Rows of the present view; a row of all classes, or one that names nothing, is of every view.
 * @param {Table} table
 * @param {string[]} keyed
 * @param {ViewEntry} view
 */
function rowsOf(table, keyed, view) {
  const tests = AXES.filter((axis) => keyed.includes(axis)).map((axis) => ({
    at: table.columns.indexOf(axis),
    allowed: [String(view[axis]), "", ...(axis === "cls" ? ["all"] : [])],
  }));
  return table.rows.filter((row) => tests.every(({ at, allowed }) => at < 0 || allowed.includes(String(row[at]))));
}

/** @param {App} app @param {TableEntry} entry @param {Table} table @param {HTMLInputElement} every row is wanted */
function tableBody(app, entry, table, every) {
  const place = make("div", {});
  const own = entry.keyed.length ? rowsOf(table, entry.keyed, app.state.view) : table.rows;
  const fill = () => {
    const rows = every.checked ? table.rows : own;
    const none = `None of the ${table.rows.length} rows is of this view: tick “All rows” to see them.`;
    place.replaceChildren(
      rows.length
        ? tableRows(entry.title, table.columns, rows)
        : make("p", {}, table.rows.length ? none : "The table has no rows."),
    );
  };
  every.addEventListener("change", fill);
  fill();
  return make(
    "div",
    {},
    entry.keyed.length && table.rows.length ? make("label", { class: "tick" }, every, "All rows") : null,
    place,
  );
}

/** @param {string} title @param {string[]} columns @param {(string | number)[][]} rows */
function tableRows(title, columns, rows) {
  const body = make("tbody", {});
  const count = make("p", { class: "quiet", role: "status" });
  const more = make("button", { type: "button", click: () => add() }, `Show ${PORTION} more`);
  const add = () => {
    const shown = body.rows.length;
    body.append(...rows.slice(shown, shown + PORTION).map((row) => make("tr", {}, ...row.map(tableCell))));
    count.textContent = `${body.rows.length} of ${rows.length} rows`;
    more.hidden = body.rows.length >= rows.length;
  };
  add();
  const isNumber = (/** @type {number} */ i) => rows.some((row) => typeof row[i] === "number");
  const head = make(
    "tr",
    {},
    ...columns.map((column, i) => make("th", { scope: "col", class: isNumber(i) ? "number" : null }, column)),
  );
  return make("div", {}, scrolled(title, make("table", { class: "data" }, make("thead", {}, head), body)), count, more);
}

/** @param {string | number} value */
function tableCell(value) {
  if (typeof value === "string") return make("td", {}, value);
  return make("td", { class: "number" }, Number.isInteger(value) ? String(value).replace("-", "−") : show(value, 4));
}

/** A figure that names another class, layer, method or K is of another view. @param {FigureEntry} figure @param {ViewEntry} view */
function fits(figure, view) {
  return AXES.every((axis) => figure[axis] === null || figure[axis] === view[axis]);
}

/** @param {App} app */
function figuresSection({ data, view }) {
  const own = data.figures.filter((figure) => fits(figure, view));
  const others = data.figures.filter((figure) => !fits(figure, view));
  return make(
    "section",
    { "aria-labelledby": "figures-title" },
    make("h2", { id: "figures-title" }, "Figures"),
    make(
      "p",
      { class: "lead" },
      own.length ? `Of ${nameOf(data, view)}, and of the whole data set.` : "No figure is of this view.",
    ),
    make("div", { class: "figures" }, ...own.map(figureCard)),
    others.length
      ? make(
          "details",
          { class: "fold" },
          make("summary", {}, "Figures of other views", make("span", { class: "quiet" }, ` ${others.length}`)),
          make("div", { class: "figures" }, ...others.map(figureCard)),
        )
      : null,
  );
}

/** @param {FigureEntry} figure */
function figureCard(figure) {
  const address = addressOf(figure.file);
  const picture = make("img", { src: address, alt: figure.alt, loading: "lazy" });
  const card = make(
    "figure",
    {},
    make("figcaption", {}, figure.title),
    make("a", { href: address, "aria-label": `${figure.title}, full size` }, picture),
  );
  picture.addEventListener("error", () =>
    picture.replaceWith(
      make(
        "span",
        { class: "notice" },
        `${address} cannot be read: copy the whole folder of this page, or run the workflow again.`,
      ),
    ),
  );
  return card;
}

/** @param {App} app */
function notesSection({ data }) {
  const methods = data.methods.map((method) =>
    make(
      "div",
      {},
      make("dt", {}, method.name),
      make("dd", {}, `${method.title}${method.control ? " (a control)" : ""}`),
    ),
  );
  const classes = data.classes.map((cls) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, cls.name),
      make("td", { class: "number" }, String(cls.clips)),
      make("td", { class: "number" }, String(cls.left_out)),
      make("td", {}, cls.reason),
    ),
  );
  const titles = ["Class", "Clips scored", "Left out", "Why it has none"];
  return make(
    "section",
    { "aria-labelledby": "notes-title" },
    make("h2", { id: "notes-title" }, "Notes"),
    noteList(data.notes),
    make("h3", {}, "Methods"),
    make("dl", { class: "methods" }, ...methods),
    make("h3", {}, "Classes"),
    scrolled(
      "Classes",
      make(
        "table",
        {},
        make("thead", {}, make("tr", {}, ...titles.map((title) => make("th", { scope: "col" }, title)))),
        make("tbody", {}, ...classes),
      ),
    ),
  );
}
