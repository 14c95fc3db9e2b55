// @ts-check
// Sounds of one clip that play in step, of which one is heard.
"use strict";

/**
 * Buttons for sounds, and a playhead over what is drawn of them; another sound goes on at the same place.
 * @param {Player} player
 * @param {Sound[]} sounds all as loud as the clip, as far as their peaks allow
 * @param {{seconds: number, loops: boolean, first: number, label: (sound: Sound, on: boolean) => {text: string, spoken: string}}} options
 */
function makeSwitch(player, sounds, { seconds, loops, first, label }) {
  let heard = first;
  /** @type {Plot[]} */
  const plots = [];
  /** @type {HTMLInputElement[]} */
  const bars = [];
  const status = make("p", { class: "quiet", role: "status" });
  const buttons = sounds.map((sound, i) =>
    make("button", { type: "button", disabled: sound.key === null, click: () => hear(i) }),
  );
  /** @type {PlaySet} */
  const set = {
    sounds,
    seconds,
    loops,
    gains: () => sounds.map((sound, i) => (i === heard ? sound.matched : 0)),
    moved: (time) => {
      moveHeads(plots, time);
      for (const bar of bars) bar.value = String(time);
    },
    changed: () => {
      const here = player.set === set;
      buttons.forEach((button, i) => {
        const on = here && player.playing && heard === i;
        const { text, spoken } = label(sounds[i], on);
        button.textContent = text;
        button.setAttribute("aria-label", spoken);
      });
      say(status, here ? player.trouble || (player.loading ? "Loading …" : "") : "");
    },
  };
  const hear = (/** @type {number} */ i) => {
    const other = heard !== i;
    player.open(set);
    heard = i;
    player.adjust();
    if (!player.playing || !other) player.toggle();
  };
  const seek = (/** @type {number} */ time) => {
    player.open(set);
    player.seek(time);
  };
  /** Draw the playhead on a picture, which seeks where it is clicked. @param {HTMLCanvasElement} canvas @param {Data} data */
  const drawn = (canvas, data) => {
    const made = plot(canvas, data, seconds, seek);
    plots.push(made);
    return made.figure;
  };
  /** The same for keys. @param {string} spoken */
  const position = (spoken) => {
    const bar = positionBar(spoken, seconds, seek);
    bars.push(bar);
    return bar;
  };
  set.changed();
  return { buttons, status, drawn, position };
}
