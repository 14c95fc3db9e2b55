// @ts-check
// A link says which view is shown; what it says is held against what there is.
"use strict";

const SECTIONS = [
  { name: "listen", title: "Listen" },
  { name: "concepts", title: "Concepts" },
  { name: "beside", title: "Compare" },
  { name: "tracks", title: "Tracks" },
  { name: "tables", title: "Tables" },
  { name: "figures", title: "Figures" },
  { name: "notes", title: "Notes" },
];

const AXES = /** @type {const} */ (["cls", "method", "layer", "k"]);
const LOUDEST = 12;
const SOFTEST = -40;

/** The mix that a view opens with: the model's evidence together. @returns {Mix} */
function firstMix() {
  return { hear: "mix", level: "true", solo: [], mute: ["rest"], db: {} };
}

/**
 * The computed view that is most like the wanted one; what the reader has just chosen counts most, then the class.
 * @param {ViewEntry[]} views
 * @param {Partial<Coordinates>} wanted
 * @param {keyof Coordinates} [pinned]
 */
function nearest(views, wanted, pinned) {
  const weights = { cls: 8, method: 4, layer: 2, k: 1 };
  if (pinned) weights[pinned] = 16;
  const score = (/** @type {ViewEntry} */ view) =>
    AXES.reduce((sum, axis) => sum + (view[axis] === wanted[axis] ? weights[axis] : 0), 0);
  return views.reduce((best, view) => (score(view) > score(best) ? view : best));
}

/** @param {Data} data @param {string} slug */
function className(data, slug) {
  return data.classes.find((cls) => cls.slug === slug)?.name ?? slug;
}

/** @param {Data} data @param {Coordinates} view */
function nameOf(data, view) {
  return `${view.method} at ${view.layer} with K = ${view.k} for ${className(data, view.cls)}`;
}

/**
 * A sentence where another view is shown than was asked for.
 * @param {Data} data
 * @param {Coordinates} wanted
 * @param {ViewEntry} view
 */
function detour(data, wanted, view) {
  if (AXES.every((axis) => wanted[axis] === view[axis])) return [];
  return [`${nameOf(data, wanted)} was not computed; shown is ${nameOf(data, view)}.`];
}

/**
 * Where a link leads, and what of it is not known here.
 * @param {Data} data
 * @param {string} hash
 * @returns {{state: State, remarks: string[]}}
 */
function readLink(data, hash) {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  /** @type {string[]} */
  const unknown = [];
  /** @param {string} field @param {string[]} known @param {string} otherwise */
  const known = (field, known, otherwise) => {
    const value = said.get(field);
    if (value === null || known.includes(value)) return value ?? otherwise;
    unknown.push(`${field} “${value}”`);
    return otherwise;
  };
  const first = data.views[0];
  const wanted = {
    cls: known(
      "class",
      data.classes.map((cls) => cls.slug),
      first.cls,
    ),
    layer: known(
      "layer",
      unique(
        data.layers,
        data.views.map((view) => view.layer),
      ),
      first.layer,
    ),
    method: known(
      "method",
      unique(
        data.methods.map((method) => method.name),
        data.views.map((view) => view.method),
      ),
      first.method,
    ),
    k: Number(
      known(
        "k",
        unique(
          data.ks,
          data.views.map((view) => view.k),
        ).map(String),
        String(first.k),
      ),
    ),
  };
  const view = nearest(data.views, wanted);
  const state = {
    view,
    clip: said.get("clip") ?? "",
    section: known(
      "section",
      data.sections,
      data.sections[0],
    ),
    table: known(
      "table",
      data.tables.map((table) => table.name),
      "",
    ),
    rows: known("rows", ["all"], ""),
    compare: said.get("compare") ?? "",
    track: known(
      "track",
      data.tracks.map((entry) => entry.track),
      "",
    ),
    ...readMix(said, known),
  };
  const remarks = unknown.length
    ? [`This page does not know ${listed(unknown)} of the link; shown is what comes nearest.`]
    : [];
  return { state, remarks: [...remarks, ...whyEmpty(data, wanted.cls), ...detour(data, wanted, view)] };
}

/** @template T @param {T[]} some @param {T[]} more */
function unique(some, more) {
  return [...new Set([...some, ...more])];
}

/** @param {Data} data @param {string} slug */
function whyEmpty(data, slug) {
  const cls = data.classes.find((one) => one.slug === slug);
  return cls?.reason ? [`${cls.name} has no clips: ${cls.reason}`] : [];
}

/**
 * Names of sounds are held against a clip's when it is shown.
 * @param {URLSearchParams} said
 * @param {(field: string, known: string[], otherwise: string) => string} known
 * @returns {Mix}
 */
function readMix(said, known) {
  const mix = firstMix();
  const names = (/** @type {string} */ field) => (said.get(field) ?? "").split(",").filter(Boolean);
  const levels = names("db")
    .map((entry) => entry.split(":"))
    .map(([name, db]) => /** @type {const} */ ([name, Number(db)]));
  return {
    hear: /** @type {Mix["hear"]} */ (known("hear", ["mix", ...WHOLE], mix.hear)),
    level: /** @type {Mix["level"]} */ (known("level", ["true", "matched"], mix.level)),
    solo: names("solo"),
    mute: said.has("mute") ? names("mute") : mix.mute,
    db: Object.fromEntries(levels.filter(([, db]) => db >= SOFTEST && db <= LOUDEST)),
  };
}

/**
 * The names of the mix, and the clip, that this view does not have are left out and named.
 * @param {State} state
 * @param {View} view
 * @returns {{state: State, remarks: string[]}}
 */
function holdAgainst(state, view) {
  const clip = view.clips.find((one) => one.folder === state.clip) ?? view.clips[0];
  // A track has sounds of its own, which come with it.
  const { mix, remarks } =
    state.section === "tracks" ? { mix: {}, remarks: [] } : heldMix(state, clip?.sounds ?? []);
  if (state.clip && clip?.folder !== state.clip)
    remarks.push(`Clip “${state.clip}” is not among the clips shown; you see ${clip ? "the first one" : "none"}.`);
  return { state: { ...state, ...mix, clip: clip?.folder ?? "" }, remarks };
}

/**
 * A mix of the sounds that there are; others are left out and named.
 * @param {Mix} state
 * @param {Sound[]} sounds
 * @returns {{mix: Partial<Mix>, remarks: string[]}}
 */
function heldMix(state, sounds) {
  const names = mixed(sounds).map((sound) => sound.name);
  const has = (/** @type {string} */ name) => names.includes(name);
  const strange = [...state.solo, ...state.mute.filter((name) => name !== "rest"), ...Object.keys(state.db)].filter(
    (name) => !has(name),
  );
  const remarks = strange.length
    ? [`Here is no sound called ${listed([...new Set(strange)].map((name) => `“${name}”`))}.`]
    : [];
  return {
    mix: {
      hear: hearable(sounds, state.hear),
      solo: state.solo.filter(has),
      mute: state.mute.filter((name) => has(name) || name === "rest"),
      db: Object.fromEntries(Object.entries(state.db).filter(([name]) => has(name))),
    },
    remarks,
  };
}

/** What can be listened to, where there are no parts to mix. @param {Sound[]} sounds @param {Mix["hear"]} wanted @returns {Mix["hear"]} */
function hearable(sounds, wanted) {
  const has = (/** @type {string} */ name) => sounds.some((sound) => sound.name === name && sound.key !== null);
  const can = (/** @type {Mix["hear"]} */ hear) =>
    hear === "mix" ? mixed(sounds).length > 0 : hear === "input" || has(hear);
  if (can(wanted)) return wanted;
  return can("mix") ? "mix" : can("standard") ? "standard" : "input";
}

/** The link to a state; what is as at opening is left out. @param {State} state */
function linkTo(state) {
  const { view } = state;
  const first = firstMix();
  const db = Object.entries(state.db)
    .filter(([, value]) => value !== 0)
    .map(([name, value]) => `${name}:${value}`);
  /** @type {Record<string, string>} */
  const said = {
    class: view.cls,
    layer: view.layer,
    method: view.method,
    k: String(view.k),
    clip: state.clip,
    section: state.section,
  };
  if (state.table) said.table = state.table;
  if (state.table && state.rows) said.rows = state.rows;
  if (state.compare) said.compare = state.compare;
  if (state.track) said.track = state.track;
  if (state.hear !== first.hear) said.hear = state.hear;
  if (state.level !== first.level) said.level = state.level;
  if (state.solo.length) said.solo = state.solo.join(",");
  if (state.mute.join() !== first.mute.join()) said.mute = state.mute.join(",");
  if (db.length) said.db = db.join(",");
  return "#" + new URLSearchParams(said);
}
