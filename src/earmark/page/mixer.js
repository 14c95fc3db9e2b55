// @ts-check
// The parts of a clip side by side: each with its map, its numbers, and its own solo, mute and level.
"use strict";

/**
 * What a clip's mix is, in words.
 * @param {Sound[]} sounds
 * @param {Mix} mix
 */
function mixInWords(sounds, mix) {
  const level = mix.level === "matched" ? "loudness matched" : "true level";
  if (mix.hear !== "mix") return `the ${titleOf(mix.hear).toLowerCase()}, ${level}`;
  const heard = heardIn(sounds, mix).filter((name) =>
    sounds.some((sound) => sound.name === name && sound.key !== null),
  );
  if (!heard.length) return "nothing: what is let through is silent, or all is muted";
  return `${listed(shortened(heard))}${heard.length === 1 ? " alone" : " together"}, ${level}`;
}

/** “concepts 1, 2” for several of them. @param {string[]} names */
function shortened(names) {
  const numbers = names.filter((name) => name.startsWith("concept")).map((name) => name.slice("concept".length));
  const others = names.filter((name) => !name.startsWith("concept")).map((name) => titleOf(name).toLowerCase());
  if (numbers.length < 2) return names.map((name) => titleOf(name).toLowerCase());
  return [`concepts ${others.length ? numbers.join(", ") : listed(numbers)}`, ...others];
}

/** Maps in their fixed order, then what is heard without a map. @param {Clip} clip */
function stripNames(clip) {
  const sounds = clip.sounds.map((sound) => sound.name).filter((name) => name !== "input");
  return unique(
    clip.maps.map((map) => map.name),
    sounds,
  );
}

/**
 * A map with its numbers and what is done to its sound.
 * @param {App} app
 * @param {Clip} clip
 * @param {string} name
 * @param {(seconds: number) => void} seek
 * @param {() => void} changed
 */
function makeStrip(app, clip, name, seek, changed) {
  const map = clip.maps.find((one) => one.name === name);
  const sound = clip.sounds.find((one) => one.name === name);
  const concept = app.view.concepts.find((one) => `concept${one.number}` === name);
  const title = titleOf(name);
  const drawn = map?.cells
    ? plot(mapCanvas(map.cells, clip.limit, mapText(app.data, title, map), clip.picture), app.data, clip.seconds, seek)
    : null;
  const controls = sound ? stripControls(app, sound, title, changed) : null;
  const card = make(
    "article",
    { class: "strip-card", "aria-label": title, "data-name": name },
    make("h4", {}, title, concept?.name ? make("span", { class: "called" }, concept.name) : null),
    concept?.evidence ? make("p", { class: "quiet" }, concept.evidence) : null,
    drawn ? drawn.figure : make("p", { class: "quiet" }, missingMap(name)),
    map
      ? make(
          "p",
          { class: "sum" },
          `relevance ${show(map.sum)}`,
          make("span", {}, ` · share ${percent(map.share)}`),
          bar(map.share, 1),
        )
      : null,
    sound?.heard ? make("p", { class: "quiet" }, `Given this alone, the model ${verdict(app, sound.heard)}.`) : null,
    controls?.element ?? null,
  );
  const update = () => {
    controls?.update();
    card.classList.toggle("silenced", !!sound && !heardIn(clip.sounds, app.state).includes(name));
  };
  return { card, drawn, update };
}

/** @param {Data} data @param {string} title @param {RelevanceMap} map */
function mapText(data, title, map) {
  const where = map.cells ? `, ${speaking(map.cells, data)}` : "";
  return `Heatmap of ${title.toLowerCase()}: relevance ${show(map.sum)}, share ${percent(map.share)}${where}`;
}

/** @param {string} name */
function missingMap(name) {
  const texts = {
    rest: "What the explanation leaves of the input: it has a sound and no map.",
    positive: "Each sample times its relevance, where that speaks for the class. It is no part of the input.",
    negative: "Each sample times its relevance, where that speaks against the class. It is no part of the input.",
  };
  return texts[/** @type {keyof typeof texts} */ (name)] ?? "No map of it was drawn.";
}

/**
 * @param {App} app
 * @param {Sound} sound
 * @param {string} title
 * @param {() => void} changed
 */
function stripControls(app, sound, title, changed) {
  if (sound.key === null)
    return { element: make("p", { class: "quiet" }, "Silent: nothing of the clip is heard here."), update: () => {} };
  if (isWhole(sound.name)) return referenceControls(app, sound, sound.name, title, changed);
  const toggle = (/** @type {"solo" | "mute"} */ field) => () => {
    const { state } = app;
    state[field] = state[field].includes(sound.name)
      ? state[field].filter((name) => name !== sound.name)
      : [...state[field], sound.name];
    state.hear = "mix";
    changed();
  };
  const solo = make(
    "button",
    { type: "button", id: `solo-${sound.name}`, click: toggle("solo") },
    "Solo",
    make("span", { class: "unseen" }, ` ${title}`),
  );
  const mute = make(
    "button",
    { type: "button", id: `mute-${sound.name}`, click: toggle("mute") },
    "Mute",
    make("span", { class: "unseen" }, ` ${title}`),
  );
  const level = levelControl(app, sound, title, changed);
  const update = () => {
    solo.setAttribute("aria-pressed", String(app.state.solo.includes(sound.name)));
    mute.setAttribute("aria-pressed", String(app.state.mute.includes(sound.name)));
    level.update();
  };
  return { element: make("div", { class: "controls" }, solo, mute, level.element), update };
}

/**
 * @param {App} app
 * @param {Sound} sound
 * @param {Mix["hear"]} name
 * @param {string} title
 * @param {() => void} changed
 */
function referenceControls(app, sound, name, title, changed) {
  const button = make(
    "button",
    {
      type: "button",
      id: `hear-${sound.name}`,
      click: () => {
        app.state.hear = app.state.hear === name ? "mix" : name;
        changed();
      },
    },
    "Hear it whole",
    make("span", { class: "unseen" }, `: ${title}`),
  );
  return {
    element: make("div", { class: "controls" }, button),
    update: () => button.setAttribute("aria-pressed", String(app.state.hear === name)),
  };
}

/**
 * @param {App} app
 * @param {Sound} sound
 * @param {string} title
 * @param {() => void} changed
 */
function levelControl(app, sound, title, changed) {
  const range = make("input", {
    type: "range",
    id: `level-${sound.name}`,
    min: SOFTEST,
    max: LOUDEST,
    step: 0.5,
    "aria-label": `Level of ${title}, in dB`,
  });
  const output = make("output", { for: range.id });
  range.addEventListener("input", () => {
    app.state.db = { ...app.state.db, [sound.name]: Number(range.value) };
    app.state.hear = "mix";
    changed();
  });
  const update = () => {
    const db = app.state.db[sound.name] ?? 0;
    range.value = String(db);
    range.setAttribute("aria-valuetext", `${db} dB`);
    output.textContent = `${db > 0 ? "+" : ""}${db.toFixed(1)} dB`.replace("-", "−");
  };
  return { element: make("span", { class: "level" }, range, output), update };
}

/**
 * Which of the clip's sounds, and at which of their two gains.
 * @param {App} app
 * @param {Clip | Track} clip
 * @param {() => void} changed
 * @param {string[][]} keys that do something here
 */
function sourceChoices(app, clip, changed, keys) {
  const has = (/** @type {string} */ name) => clip.sounds.some((sound) => sound.name === name && sound.key !== null);
  const hear = choice(
    "hear",
    "Listen to",
    [
      { value: "mix", text: "Mix of parts", off: !mixed(clip.sounds).length },
      { value: "standard", text: "Standard", off: !has("standard") },
      { value: "input", text: "Input", off: !has("input") },
      ...["positive", "negative"].filter(has).map((name) => ({ value: name, text: titleOf(name) })),
    ],
    app.state.hear,
    (value) => {
      app.state.hear = /** @type {Mix["hear"]} */ (value);
      changed();
    },
  );
  const level = choice(
    "loudness",
    "Loudness",
    [
      { value: "true", text: "True level" },
      { value: "matched", text: "Matched to the input" },
    ],
    app.state.level,
    (value) => {
      app.state.level = /** @type {Mix["level"]} */ (value);
      changed();
    },
  );
  const hint = make(
    "p",
    { class: "quiet" },
    "At true level the parts sum to what the model was given. Matched, each is as loud as the input, as far as its peaks allow: faint parts are heard well, and do not sum.",
  );
  return {
    element: make("div", { class: "sources" }, hear, level, hint, keyHelp(keys)),
    update: () => {
      mark(hear, app.state.hear);
      mark(level, app.state.level);
    },
  };
}

const CLIP_KEYS = [
  ["Space", "play or pause"],
  ["1–9", "concept alone"],
  ["m", "all but that concept"],
  ["0", "no solo"],
  ["← →", "other clip"],
  ["↑ ↓", "other concept, in the player"],
];

/** @param {string[][]} keys */
function keyHelp(keys) {
  return make("p", { class: "keys" }, ...keys.map(([key, does]) => make("span", {}, make("kbd", {}, key), ` ${does}`)));
}
