// @ts-check
// Every explanation of a clip beside the others: their maps, and their sounds, switched while they play.
"use strict";

/** @param {App} app @param {Player} player @returns {Live} */
function besideSection(app, player) {
  const { data, state } = app;
  const place = make("div", {}, make("p", { role: "status" }, "Loading the explanations …"));
  /** @type {BesideClip[] | null} */
  let clips = null;
  const follow = () => {
    if (!clips) return;
    player.pause();
    refill(place, ...besideClips(app, player, clips));
  };
  load(`beside/${state.view.cls}`).then(
    (found) => {
      clips = found.clips;
      follow();
    },
    (error) => place.replaceChildren(make("p", { class: "notice", role: "alert" }, sentenceOf(error))),
  );
  const section = make(
    "section",
    { "aria-labelledby": "beside-title" },
    make("h2", { id: "beside-title" }, `Explanations of ${className(data, state.view.cls)} side by side`),
    make(
      "p",
      { class: "lead" },
      "The best by their symmetric relevance gain first: what the model answers to the most relevant cells before the least. Maps are heard by one rule, the most relevant cells that hold about a fifth of the clip’s energy; a method that makes sound itself is heard as it made it. All as loud as the clip, as far as their peaks allow.",
    ),
    make("div", { id: "beside" }, place),
  );
  return { section, show: follow, desk: () => null, clips: [] };
}

/** @param {App} app @param {Player} player @param {BesideClip[]} clips */
function besideClips(app, player, clips) {
  const clip = clips.find((one) => String(one.clip) === app.state.compare) ?? clips[0];
  if (!clip) return [make("p", {}, NO_CLIPS)];
  if (app.state.compare && String(clip.clip) !== app.state.compare) {
    app.remark([`Clip “${app.state.compare}” is not among those compared; you see the first one.`]);
    app.state.compare = "";
    app.note();
  }
  const options = clips.map((one, i) => ({
    value: String(one.clip),
    text: `Clip ${i + 1}`,
    more: pictureCanvas(one.picture, ""),
  }));
  const strip = choice("other-clip", "Clips", options, String(clip.clip), (compare) => app.go({ compare }));
  strip.classList.add("strip");
  return [strip, make("p", { class: "quiet" }, `${clip.path} · clip ${clip.clip} of the data set`), besideCards(app, player, clip)];
}

/**
 * The clip and its explanations, of which one is heard; another one goes on where it is.
 * @param {App} app
 * @param {Player} player
 * @param {BesideClip} clip
 */
function besideCards({ data, state }, player, clip) {
  const seconds = data.times ? data.times[0] + data.times[1] : clip.picture.columns;
  const name = className(data, state.view.cls);
  const { buttons, status, drawn, position } = makeSwitch(player, clip.sounds, {
    seconds,
    loops: true,
    first: 0,
    label: (sound, on) => {
      const text = sound.key === null ? "Silent" : on ? "Pause" : "Play";
      return { text, spoken: `${text} ${titleOf(sound.name)}` };
    },
  });
  const whole = make(
    "article",
    { class: "card", "aria-labelledby": "beside-input" },
    make("h3", { id: "beside-input" }, "The clip"),
    drawn(pictureCanvas(clip.picture, `The clip, ${data.kind}: ${strongest(clip.picture, data)}`), data),
    make("p", { class: "sum" }, topAnswer(data, clip.sounds[0].heard ?? [])),
    make("div", { class: "controls" }, buttons[0]),
  );
  const rows = data.explanations.flatMap((one) => {
    const shown = clip.shown.find((other) => other.id === one.id);
    const i = clip.sounds.findIndex((sound) => sound.name === one.id);
    return shown && i > 0 ? [besideCard(one, shown, i)] : [];
  });
  /** @param {ExplanationEntry} one @param {BesideShown} shown @param {number} i */
  function besideCard(one, shown, i) {
    const text = `${one.id}: ${speaking(shown.map, data)}`;
    const badges = [
      ...(one.control ? ["a control: explains nothing"] : []),
      ...(one.claim ? ["beats the controls"] : []),
    ];
    return make(
      "article",
      { class: "card", "aria-labelledby": `beside-${i}` },
      make("h3", { id: `beside-${i}` }, one.id),
      badges.length ? make("ul", { class: "badges" }, ...badges.map((badge) => make("li", {}, badge))) : null,
      make("p", { class: "quiet" }, one.title),
      drawn(mapCanvas(shown.map, shown.limit, text, clip.picture), data),
      make(
        "p",
        { class: "sum" },
        one.gain === null ? "gain not known" : `gain ${show(one.gain)}${between(one.interval)} nats over all clips`,
      ),
      make(
        "p",
        {},
        `Holds ${percent(shown.energy)} of the energy. Alone, the model ${topAnswer(data, clip.sounds[i].heard ?? [])}; log-odds of ${name}: clip ${logitText(shown.logodds)}, alone ${logitText(shown.logodds_in)}, clip without it ${logitText(shown.logodds_out)}.`,
      ),
      make("div", { class: "controls" }, buttons[i]),
    );
  }
  const where = make("div", { class: "controls" }, position("Position in seconds"));
  return make("div", {}, where, status, make("div", { class: "cards beside" }, whole, ...rows));
}

/** @param {[number, number] | null} interval null where there were too few groups of clips for one */
function between(interval) {
  return interval ? ` [${interval.map((value) => show(value)).join(", ")}]` : "";
}
