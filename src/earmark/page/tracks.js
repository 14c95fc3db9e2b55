// @ts-check
// Recordings that are explained as a whole: when each concept is heard, mixed as those of a clip are.
"use strict";

/** Classes whose answers are drawn over time. */
const ANSWERED = 4;

/** Moments of a concept that are offered. */
const MOMENTS = 3;

/** Seconds that two of them are apart at least. */
const APART = 5;

/** @param {App} app @param {Reel} reel @returns {Live} */
function tracksSection(app, reel) {
  const { data, state } = app;
  const names = unique(data.tracks.map((entry) => entry.track), []);
  const name = names.includes(state.track) ? state.track : names[0];
  const file = data.tracks.find((entry) => entry.track === name)?.file ?? name;
  const options = names.map((track) => ({
    value: track,
    text: data.tracks.find((entry) => entry.track === track)?.file ?? track,
  }));
  const place = make("div", { id: "desk" }, make("p", { role: "status" }, "Loading the track …"));
  const entry = data.tracks.find((one) => one.track === name && AXES.every((axis) => one[axis] === state.view[axis]));
  /** @type {Desk | null} */
  let desk = null;
  const follow = () => {
    if (!desk) return;
    const held = heldMix(app.state, desk.set.sounds);
    app.remark(held.remarks);
    desk.change(held.mix);
  };
  if (entry)
    load(`tracks/${entry.id}`).then(
      (track) => {
        const made = trackDesk(app, reel, track);
        desk = made;
        place.replaceChildren(made.element);
        reel.open(made.set);
        follow();
      },
      (error) => place.replaceChildren(make("p", { class: "notice", role: "alert" }, sentenceOf(error))),
    );
  else place.replaceChildren(...otherwise(app, name));
  const section = make(
    "section",
    { "aria-labelledby": "tracks-title" },
    make("h2", { id: "tracks-title" }, file),
    entry
      ? make(
          "p",
          { class: "lead" },
          `${clockText(entry.seconds)} · what speaks for ${className(data, entry.cls)}: ${entry.method} at ${entry.layer}, K = ${entry.k}`,
        )
      : null,
    names.length > 1 ? choice("track", "Track", options, name, (track) => app.go({ track })) : null,
    place,
  );
  return { section, show: follow, desk: () => desk, clips: [] };
}

/** What a track was explained by, where that is not what is chosen. @param {App} app @param {string} name */
function otherwise(app, name) {
  const there = app.data.tracks.filter((entry) => entry.track === name);
  return [
    make("p", {}, `This track was not explained as ${nameOf(app.data, app.state.view)}. It was as:`),
    make(
      "div",
      { class: "controls" },
      ...there.map(({ id, cls, layer, method, k }) =>
        make(
          "button",
          { type: "button", click: () => app.go({ view: { id, cls, layer, method, k } }) },
          nameOf(app.data, { cls, layer, method, k }),
        ),
      ),
    ),
  ];
}

/** @param {App} app @param {Reel} reel @param {Track} track */
function trackDesk(app, reel, track) {
  const { data } = app;
  const seek = (/** @type {number} */ seconds) => {
    reel.open(set);
    reel.seek(seconds);
  };
  const hear = (/** @type {number} */ seconds) => {
    seek(seconds);
    if (!reel.playing) reel.toggle();
  };
  const timeline = makeTimeline(lanesOf(app, track), track.seconds, hear);
  const strips = track.sounds
    .filter((sound) => sound.name !== "input")
    .map((sound) => trackStrip(app, track, sound, hear, () => changed()));
  const sources = sourceChoices(app, track, () => changed(), TRACK_KEYS);
  /** @type {TrackSet} */
  const set = {
    sounds: track.sounds,
    seconds: track.seconds,
    piece: track.piece,
    loops: false,
    gains: () => gainsOf(track.sounds, app.state),
    moved: (seconds) => {
      timeline.moved(seconds, reel.playing);
      transport.moved(seconds);
    },
    changed: () => {
      for (const strip of strips) strip.update();
      sources.update();
      transport.update();
    },
  };
  const transport = makeTransport(app, reel, set, track, seek, null);
  const changed = () => {
    reel.open(set);
    reel.adjust();
    app.note();
  };
  const element = make(
    "div",
    { class: "desk" },
    noteList(track.remarks),
    timeline.element,
    make(
      "div",
      { class: "front" },
      make(
        "section",
        { "aria-labelledby": "mixer-title" },
        make("h3", { id: "mixer-title" }, "Its explanation, part by part"),
        make("div", { class: "strips" }, ...strips.map((strip) => strip.card)),
      ),
      sources.element,
    ),
    transport.element,
    trackAnswers(data, track),
  );
  return {
    element,
    set,
    playable: true,
    change: (/** @type {Partial<Mix>} */ mix) => {
      Object.assign(app.state, mix);
      changed();
    },
  };
}

const TRACK_KEYS = [
  ["Space", "play or pause"],
  ["1–9", "concept alone"],
  ["m", "all but that concept"],
  ["0", "no solo"],
  ["+ −", "zoom, on the time line"],
  ["← →", "move the playhead, there"],
];

/** What a concept is called, and the number behind it, where that is known. @param {App} app @param {number} number */
function calledOf(app, number) {
  const { name, evidence } = app.view.concepts.find((one) => one.number === number) ?? { name: "", evidence: "" };
  return { name, evidence };
}

/** @param {App} app @param {Track} track */
function lanesOf(app, track) {
  const { data } = app;
  const [first, last] = track.score_times;
  const step = (last - first) / Math.max(1, track.scores.columns - 1) || 1;
  const scored = (/** @type {number} */ time) => (time - first) / step;
  const answered = (/** @type {number} */ time) => placeOf(track.answer_times, time);
  const wave = {
    label: "Track",
    note: clockText(track.seconds),
    text: `Waveform, ${clockText(track.seconds)} long`,
    tall: true,
    draw: (/** @type {Pen} */ pen) => drawWave(pen, track.wave, track.wave_step),
  };
  const concepts = track.shares.map((share, row) => ({
    label: `Concept ${row + 1}`,
    note: [percent(share), ...Object.values(calledOf(app, row + 1))].filter(Boolean).join(" · "),
    text: `Relevance of concept ${row + 1} over time: ${percent(share)} of what speaks for the class, most at ${listed(momentsOf(track, row).map(clockText))}`,
    tall: false,
    draw: (/** @type {Pen} */ pen) => drawValues(pen, track.scores, row, scored),
  }));
  const answers = mostAnswered(track).map((cls) => ({
    label: data.answers[cls],
    note: `logit ${logitText(track.mean[cls])}`,
    text: `Logit of ${data.answers[cls]} over time: ${logitText(track.mean[cls])} on average`,
    tall: false,
    draw: (/** @type {Pen} */ pen) => drawValues(pen, track.answers, cls, answered),
  }));
  return [wave, ...concepts, ...answers];
}

/** Where a time lies among ascending ones. @param {number[]} times @param {number} time */
function placeOf(times, time) {
  let [low, high] = [0, times.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] + times[middle + 1]) / 2 < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Classes by their mean logit, the largest first. @param {Track} track */
function mostAnswered(track) {
  return track.mean
    .map((_, cls) => cls)
    .sort((one, other) => track.mean[other] - track.mean[one])
    .slice(0, ANSWERED);
}

/** When a concept is most relevant, the strongest moment first. @param {Track} track @param {number} row */
function momentsOf(track, row) {
  const { scores, score_times: [first, last] } = track;
  const time = (/** @type {number} */ column) => first + ((last - first) * column) / Math.max(1, scores.columns - 1);
  const order = Array.from({ length: scores.columns }, (_, column) => column)
    .filter((column) => valueAt(scores, row * scores.columns + column) > 0)
    .sort((one, other) => scores.bytes[row * scores.columns + other] - scores.bytes[row * scores.columns + one]);
  /** @type {number[]} */
  const found = [];
  for (const column of order) {
    if (found.length === MOMENTS) break;
    if (found.every((moment) => Math.abs(moment - time(column)) > APART)) found.push(time(column));
  }
  return found;
}

/**
 * A sound of the track with its numbers, and what is done to it.
 * @param {App} app
 * @param {Track} track
 * @param {TrackSound} sound
 * @param {(seconds: number) => void} hear
 * @param {() => void} changed
 */
function trackStrip(app, track, sound, hear, changed) {
  const title = titleOf(sound.name);
  const number = numberOf(sound.name);
  const { name, evidence } = calledOf(app, number);
  const controls = stripControls(app, sound, title, changed);
  const moments = number ? momentsOf(track, number - 1) : [];
  const card = make(
    "article",
    { class: "strip-card", "aria-label": title, "data-name": sound.name },
    make("h4", {}, title, name ? make("span", { class: "called" }, name) : null),
    evidence ? make("p", { class: "quiet" }, evidence) : null,
    number
      ? make("p", { class: "sum" }, `${percent(track.shares[number - 1])} of what speaks for the class`, bar(track.shares[number - 1], 1))
      : null,
    make("p", { class: "quiet" }, `Given this alone, the model ${topAnswer(app.data, sound.heard ?? [])}.`),
    moments.length
      ? make(
          "div",
          { class: "controls" },
          make("span", { class: "quiet" }, "most at"),
          ...moments.map((moment) =>
            make(
              "button",
              { type: "button", click: () => hear(Math.max(0, moment - 1)) },
              make("span", { class: "unseen" }, `Play ${title} from `),
              clockText(moment),
            ),
          ),
        )
      : null,
    controls.element,
  );
  const update = () => {
    controls.update();
    card.classList.toggle("silenced", !heardIn(track.sounds, app.state).includes(sound.name));
  };
  return { card, update };
}

/** What the model says of the track and of each of its sounds. @param {Data} data @param {Track} track */
function trackAnswers(data, track) {
  const rows = track.sounds.map((sound) => ({
    title: sound.name === "input" ? "The whole track" : `${titleOf(sound.name)} alone`,
    logits: sound.heard ?? [],
  }));
  return make(
    "section",
    { class: "says", "aria-labelledby": "says-title" },
    make("h3", { id: "says-title" }, "What the model says"),
    make(
      "p",
      { class: "quiet" },
      "Mean logits over the clips of the track: above 0 speaks for a class. Each sound was also given to the model alone, at its true level.",
    ),
    logitTable("Logits of the track and of its sounds", data, rows, className(data, track.cls)),
  );
}
