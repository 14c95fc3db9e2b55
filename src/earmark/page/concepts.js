// @ts-check
// What each concept is: its number, its share, its profile, and the clips in which it weighs most.
"use strict";

/** @param {App} app @param {Player} player */
function conceptsSection(app, player) {
  const { view, data } = app;
  const cards = view.concepts.map((concept) => conceptCard(data, player, concept));
  return make(
    "section",
    { "aria-labelledby": "concepts-title" },
    make("h2", { id: "concepts-title" }, `Concepts of ${className(data, view.cls)}`),
    viewHead(app, view),
    summaryList(view),
    noteList(view.notes),
    cards.length
      ? make("div", { class: "cards" }, ...cards)
      : make("p", {}, "This method has no concepts: it explains a clip by one map."),
  );
}

/** @param {Concept} concept */
function shareInWords({ share, interval }) {
  if (share === null) return "share not determined: the relevance of all concepts sums to about 0";
  return interval
    ? `${percent(share)} of the relevance (${percent(interval[0])} to ${percent(interval[1])})`
    : `${percent(share)} of the relevance`;
}

/** @param {Data} data @param {Player} player @param {Concept} concept */
function conceptCard(data, player, concept) {
  const { number, profile } = concept;
  const text = `Profile of concept ${number}, mean positive relevance: ${speaking(profile, data)}, at most ${show(profile.high)}`;
  const seconds = data.times ? data.times[0] + data.times[1] : profile.columns;
  const drawn = plot(mapCanvas(profile, profile.high, text), data, seconds, () => {});
  drawn.head.remove();
  drawn.figure.classList.add("still");
  return make(
    "article",
    { class: "card", "aria-labelledby": `concept-${number}` },
    make(
      "h3",
      { id: `concept-${number}` },
      `Concept ${number}`,
      concept.name ? make("span", { class: "called" }, concept.name) : null,
    ),
    make("p", { class: "sum" }, shareInWords(concept), bar(concept.share, 1)),
    concept.evidence ? make("p", {}, concept.evidence) : null,
    concept.remarks.length
      ? make("ul", { class: "badges" }, ...concept.remarks.map((remark) => make("li", {}, remark)))
      : null,
    make(
      "div",
      { class: "profile" },
      make("h4", {}, "Where it lies"),
      drawn.figure,
      make("p", { class: "quiet" }, `mean positive relevance, full colour at ${show(profile.high)}`),
    ),
    make(
      "h4",
      {},
      "Where it weighs most",
      concept.clips.some((clip) => clip.sounds.length)
        ? make("span", { class: "called" }, "heard as loud as the clip, as far as its peaks allow")
        : null,
    ),
    make("ol", { class: "tops" }, ...concept.clips.map((clip) => topClip(data, player, number, clip))),
  );
}

/**
 * A clip with two sounds that play in step: whole, and what the concept hears of it.
 * @param {Data} data
 * @param {Player} player
 * @param {number} number
 * @param {TopClip} clip
 */
function topClip(data, player, number, clip) {
  const seconds = data.times ? data.times[0] + data.times[1] : clip.picture.columns;
  const title = `clip ${clip.clip}`;
  const { buttons, status, drawn, position } = makeSwitch(player, clip.sounds, {
    seconds,
    loops: false,
    first: 1,
    label: (sound, on) => {
      const name = sound.name === "concept" ? `concept ${number}` : titleOf(sound.name).toLowerCase();
      const text = sound.key === null ? `Silent: ${name}` : `${on ? "Pause" : "Play"} ${name}`;
      return { text, spoken: `${text}, ${title}` };
    },
  });
  const input = pictureCanvas(clip.picture, `Input of ${title}: ${strongest(clip.picture, data)}`);
  const map = mapCanvas(
    clip.map,
    clip.limit,
    `Concept ${number} in ${title}: relevance ${show(clip.relevance)}, share ${percent(clip.share)}, ${speaking(clip.map, data)}`,
    clip.picture,
  );
  return make(
    "li",
    {},
    make(
      "p",
      { class: "path" },
      make("strong", {}, `Clip ${clip.clip}`),
      make("span", { class: "quiet" }, ` ${clip.path}`),
    ),
    make("div", { class: "pair" }, drawn(input, data), drawn(map, data)),
    make("p", { class: "sum" }, `relevance ${show(clip.relevance)}, ${percent(clip.share)} of the clip’s`),
    buttons.length
      ? make("div", { class: "controls" }, ...buttons, position(`Position in ${title}, concept ${number}, in seconds`))
      : null,
    status,
  );
}
