// @ts-check
// One clip: its picture, the mixer of its parts, the player, and what the model says.
"use strict";

const SHORT = 4;
const NO_CLIPS =
  "No clip of this view was kept for listening: its concepts, tables and figures are in the other sections.";

/** @param {number | null} logit null where it is not known */
function logitText(logit) {
  if (logit === null || !Number.isFinite(logit)) return "–";
  return logit
    .toFixed(2)
    .replace(/^-(0\.00)$/, "$1")
    .replace("-", "−");
}

/** @param {Data} data @param {number[]} logits */
function topAnswer(data, logits) {
  if (data.multi_label) {
    const said = data.answers.filter((_, i) => logits[i] > 0);
    return said.length ? `says ${listed(said)}` : "says none of them";
  }
  return `says ${data.answers[logits.indexOf(Math.max(...logits))]}`;
}

/**
 * What the model says of the clip and of each sound that it hears alone.
 * @param {App} app
 * @param {Clip} clip
 */
function answersTable({ data, state }, clip) {
  const name = className(data, state.view.cls);
  const alone = clip.sounds.filter((sound) => sound.name !== "input" && sound.heard);
  const rows = [
    { title: "The whole clip", logits: clip.answers },
    ...alone.map((sound) => ({ title: `${titleOf(sound.name)} alone`, logits: sound.heard ?? [] })),
  ];
  const lead = alone.length
    ? "Logits of all classes: above 0 speaks for a class. Each sound was also given to the model alone, at its true level."
    : "Logits of all classes: above 0 speaks for a class.";
  return make(
    "section",
    { class: "says", "aria-labelledby": "says-title" },
    make("h3", { id: "says-title" }, "What the model says"),
    make("p", { class: "quiet" }, lead),
    logitTable("Logits of the clip and of its sounds", data, rows, name),
  );
}

/**
 * @param {string} label
 * @param {Data} data
 * @param {{title: string, logits: number[]}[]} rows
 * @param {string} name of the explained class
 */
function logitTable(label, data, rows, name) {
  const most = Math.max(...rows.flatMap((row) => row.logits.map(Math.abs)));
  const head = make(
    "tr",
    {},
    make("th", { scope: "col" }, "It hears"),
    make("th", { scope: "col" }, "Top answer"),
    ...data.answers.map((answer) =>
      make("th", { scope: "col", class: answer === name ? "number ours" : "number" }, answer),
    ),
  );
  const body = rows.map(({ title, logits }) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, title),
      make("td", {}, topAnswer(data, logits)),
      ...logits.map((logit) => make("td", { class: "number" }, logitText(logit), bar(logit, most))),
    ),
  );
  return scrolled(label, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

/** A table that scrolls by itself on a narrow screen, also by keys. @param {string} label @param {HTMLElement} content */
function scrolled(label, content) {
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, content);
}

/** The clips of a view to choose from, each with a small picture. @param {App} app */
function clipStrip(app) {
  const options = app.view.clips.map((clip, i) => ({
    value: clip.folder,
    text: `Clip ${i + 1}`,
    more: pictureCanvas(clip.picture, ""),
  }));
  const strip = choice("clip", "Clips", options, app.state.clip, (folder) => app.go({ clip: folder }));
  strip.classList.add("strip");
  return strip;
}

/**
 * The player of one clip, with everything that moves or changes while it plays.
 * @param {App} app
 * @param {Player} player
 * @param {Clip} clip
 */
function makeDesk(app, player, clip) {
  const seek = (/** @type {number} */ seconds) => {
    player.open(set);
    player.seek(seconds);
  };
  const playable = clip.sounds.some((sound) => sound.key !== null);
  const input = inputPlot(app, clip, seek);
  const strips = stripNames(clip).map((name) => makeStrip(app, clip, name, seek, () => changed()));
  const plots = [input, ...strips.flatMap(({ drawn }) => (drawn ? [drawn] : []))];
  const setLoop = (/** @type {boolean} */ loop) => {
    player.open(set);
    app.loop = loop;
    player.setLoop(loop);
  };
  const sources = sourceChoices(app, clip, () => changed(), CLIP_KEYS);

  /** @type {PlaySet} */
  const set = {
    sounds: clip.sounds,
    seconds: clip.seconds,
    // A second is too short to try the mixer in.
    loops: app.loop ?? clip.seconds < SHORT,
    gains: () => gainsOf(clip.sounds, app.state),
    moved: (seconds) => {
      moveHeads(plots, seconds);
      transport.moved(seconds);
    },
    changed: () => {
      for (const strip of strips) strip.update();
      sources.update();
      transport.update();
    },
  };
  const transport = makeTransport(app, player, set, clip, seek, setLoop);
  const changed = () => {
    player.open(set);
    player.adjust();
    app.note();
  };
  const mixer = make(
    "section",
    { "aria-labelledby": "mixer-title" },
    make("h3", { id: "mixer-title" }, "Its explanation, part by part"),
    relevanceLegend(clip.limit),
    make("div", { class: "strips" }, ...strips.map((strip) => strip.card)),
  );
  const element = make(
    "div",
    { class: "desk" },
    make(
      "div",
      { class: "front" },
      make(
        "section",
        { class: "input", "aria-labelledby": "input-title" },
        make("h3", { id: "input-title" }, "Input"),
        input.figure,
        strengthLegend(clip.picture, `${app.data.kind}, ${app.data.unit}`),
        make("p", { class: "verdict" }, `The model ${verdict(app, clip.answers)}.`),
      ),
      playable ? sources.element : null,
    ),
    mixer,
    playable ? transport.element : null,
    answersTable(app, clip),
  );
  return {
    element,
    set,
    playable,
    change: (/** @type {Partial<Mix>} */ mix) => {
      Object.assign(app.state, mix);
      changed();
    },
  };
}

/** @param {App} app @param {Clip} clip @param {(seconds: number) => void} seek */
function inputPlot({ data }, clip, seek) {
  const text = `The input, ${data.kind}: ${show(clip.seconds)} s, ${strongest(clip.picture, data)}; from ${show(clip.picture.low)} to ${show(clip.picture.high)} ${data.unit}`;
  return plot(pictureCanvas(clip.picture, text), data, clip.seconds, seek);
}

/** The top answer, and how far the explained class has it. @param {App} app @param {number[]} logits */
function verdict({ data, state }, logits) {
  const name = className(data, state.view.cls);
  return `${topAnswer(data, logits)} (logit of ${name}: ${logitText(logits[data.answers.indexOf(name)] ?? null)})`;
}

/**
 * Play, position, loop, and a sentence that says what is heard.
 * @param {App} app
 * @param {Player} player
 * @param {PlaySet} set
 * @param {Clip | Track} clip
 * @param {(seconds: number) => void} seek
 * @param {((loop: boolean) => void) | null} setLoop null where nothing is played over and over
 */
function makeTransport(app, player, set, clip, seek, setLoop) {
  const play = make(
    "button",
    {
      type: "button",
      id: "play",
      click: () => {
        player.open(set);
        player.toggle();
      },
    },
    "Play",
  );
  const position = positionBar("Position in seconds", clip.seconds, seek);
  position.id = "position";
  const clock = make("span", { class: "clock", "aria-hidden": "true" });
  const loop = make("input", { type: "checkbox", id: "loop", checked: set.loops, change: () => setLoop?.(loop.checked) });
  const status = make("p", { id: "status", role: "status" });
  const warning = make("p", { id: "warning", role: "status" });
  const moved = (/** @type {number} */ seconds) => {
    position.value = String(seconds);
    clock.textContent = `${seconds.toFixed(2)} / ${clip.seconds.toFixed(2)} s`;
  };
  const update = () => {
    play.textContent = player.loading ? "Loading …" : player.playing ? "Pause" : "Play";
    say(status, statusOf(player, clip, app.state));
    say(warning, warningOf(player.peak()));
  };
  moved(0);
  return {
    element: make(
      "div",
      { class: "transport", role: "group", "aria-label": "Player" },
      play,
      position,
      clock,
      setLoop ? make("label", { class: "loop" }, loop, "Loop") : null,
      status,
      warning,
    ),
    moved,
    update,
  };
}

/** @param {Player} player @param {Clip | Track} clip @param {Mix} mix */
function statusOf(player, clip, mix) {
  if (player.trouble) return player.trouble;
  if (player.loading) return "Loading the sounds …";
  const words = mixInWords(clip.sounds, mix);
  return player.playing ? `Playing ${words}.` : `Ready: ${words}.`;
}

/** @param {number} peak */
function warningOf(peak) {
  if (peak <= 1) return "";
  return `Louder than full scale by ${(20 * Math.log10(peak)).toFixed(1)} dB, so it will crackle: lower some levels, or mute some parts.`;
}

/** @param {App} app @param {View} view */
function viewHead({ data }, view) {
  const method = data.methods.find((one) => one.name === view.method);
  const control = method?.control ? " It is a control: what any explanation has to be better than." : "";
  return make(
    "p",
    { class: "lead" },
    `${view.method} at ${view.layer}, K = ${view.k}: ${method?.title ?? ""}${control}`,
  );
}

/** @param {View} view */
function summaryList(view) {
  if (!view.summary.length) return null;
  return make(
    "dl",
    { class: "summary" },
    ...view.summary.map(({ label, value, note }) =>
      make(
        "div",
        {},
        make("dt", {}, label),
        make("dd", {}, make("strong", {}, value), make("span", { class: "quiet" }, note)),
      ),
    ),
  );
}

/**
 * @param {App} app
 * @param {Player} player
 * @returns {Live}
 */
function listenSection(app, player) {
  const title = make("h2", { id: "listen-title" });
  const path = make("p", { class: "quiet" });
  const place = make("div", { id: "desk" });
  const { clips } = app.view;
  const strip = clips.length ? clipStrip(app) : null;
  const section = make(
    "section",
    { "aria-labelledby": "listen-title" },
    make(
      "div",
      { class: "top" },
      make("div", {}, title, viewHead(app, app.view), path),
      strip ?? make("p", {}, NO_CLIPS),
    ),
    place,
    summaryList(app.view),
    noteList(app.view.notes),
  );
  /** @type {ReturnType<typeof makeDesk> | null} */
  let desk = null;
  const follow = () => {
    if (strip) mark(strip, app.state.clip);
    const i = clips.findIndex((clip) => clip.folder === app.state.clip);
    path.textContent =
      i < 0 ? "" : `${clips[i].path} · clip ${clips[i].clip} of the data set · ${show(clips[i].seconds)} s`;
    title.textContent =
      i < 0
        ? className(app.data, app.view.cls)
        : `${className(app.data, app.view.cls)}, clip ${i + 1} of ${clips.length}`;
    if (i < 0) return;
    const clip = clips[i];
    desk = makeDesk(app, player, clip);
    refill(
      place,
      desk.element,
      ...(heardAtAll(clip)
        ? []
        : [
            make(
              "p",
              { class: "notice" },
              "Only the input can be heard here: no sounds were made of this method's parts.",
            ),
          ]),
    );
    player.open(desk.set);
  };
  follow();
  return { section, show: follow, desk: () => desk, clips: clips.map((clip) => clip.folder) };
}

/** @param {Clip} clip */
function heardAtAll(clip) {
  return clip.sounds.some((sound) => sound.name !== "input");
}
