// @ts-check
// A recording over time: its waveform, the score of every concept, the answers of the model; a part of it at a time.
"use strict";

const NARROWEST = 2;
const ZOOM = 2;
const STILL = 4;

/** Seconds between two labels, of which there are at most so many. */
const STEPS = [0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600];
const TICKS = 9;

/** The top and the bottom of a lane where values are drawn, of its height. */
const MARGIN = 0.08;

/** @param {number} seconds */
function clockText(seconds) {
  const whole = Math.max(0, seconds);
  const minutes = Math.floor(whole / 60);
  const rest = (whole - 60 * minutes).toFixed(1).padStart(4, "0");
  return `${minutes}:${rest}`;
}

/**
 * Lanes under one another, and a playhead over all.
 * @param {{label: string, note: string, text: string, tall: boolean, draw: (pen: Pen) => void}[]} lanes
 * @param {number} seconds
 * @param {(seconds: number) => void} seek
 */
function makeTimeline(lanes, seconds, seek) {
  const view = { from: 0, to: seconds };
  const head = make("div", { class: "playhead" });
  const canvases = lanes.map((lane) => emptyCanvas(lane.text));
  const ticks = make("div", { class: "times", "aria-hidden": "true" });
  const stage = make("div", { class: "stage", tabindex: 0, role: "group", "aria-label": HELP }, ...canvases, head);
  const labels = lanes.map(({ label, note, tall }) =>
    make("div", { class: tall ? "lane tall" : "lane" }, make("strong", {}, label), make("span", { class: "quiet", title: note }, note)),
  );
  lanes.forEach(({ tall }, i) => canvases[i].classList.add("lane", ...(tall ? ["tall"] : [])));
  const at = (/** @type {number} */ time) => (time - view.from) / (view.to - view.from);
  let now = 0;
  const place = () => {
    head.hidden = now < view.from || now > view.to;
    head.style.left = `${100 * at(now)}%`;
  };
  const paintAll = () => {
    lanes.forEach((lane, i) => painted(canvases[i], () => lane.draw(penOf(canvases[i], view))));
    ticks.replaceChildren(...clockTicks(view));
    whole.disabled = out.disabled = view.from <= 0 && view.to >= seconds;
    near.disabled = view.to - view.from <= NARROWEST;
    back.disabled = view.from <= 0;
    on.disabled = view.to >= seconds;
    place();
  };
  const show = (/** @type {number} */ from, /** @type {number} */ width) => {
    const kept = Math.min(seconds, Math.max(Math.min(NARROWEST, seconds), width));
    view.from = Math.min(Math.max(0, from), seconds - kept);
    view.to = view.from + kept;
    paintAll();
  };
  const zoom = (/** @type {number} */ factor, /** @type {number} */ around) =>
    show(around - (around - view.from) / factor, (view.to - view.from) / factor);
  const middle = () => (now >= view.from && now <= view.to ? now : (view.from + view.to) / 2);
  const pan = (/** @type {number} */ parts) => show(view.from + parts * (view.to - view.from), view.to - view.from);
  const knob = (/** @type {string} */ id, /** @type {string} */ text, /** @type {() => void} */ click) =>
    make("button", { type: "button", id, click }, text);
  const near = knob("zoom-in", "Zoom in", () => zoom(ZOOM, middle()));
  const out = knob("zoom-out", "Zoom out", () => zoom(1 / ZOOM, middle()));
  const whole = knob("zoom-whole", "Whole track", () => show(0, seconds));
  const back = knob("earlier", "Earlier", () => pan(-0.5));
  const on = knob("later", "Later", () => pan(0.5));
  hearPointer(stage, view, { seek, show, zoom });
  stage.addEventListener("keydown", (event) => {
    /** @type {Record<string, () => void>} */
    const keys = {
      "+": () => zoom(ZOOM, middle()),
      "-": () => zoom(1 / ZOOM, middle()),
      ArrowLeft: () => seek(Math.max(0, now - (view.to - view.from) / 50)),
      ArrowRight: () => seek(Math.min(seconds, now + (view.to - view.from) / 50)),
      Home: () => seek(0),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });
  new ResizeObserver(paintAll).observe(stage);
  return {
    element: make(
      "div",
      { class: "timeline" },
      make("div", { class: "controls" }, near, out, whole, back, on),
      make("div", { class: "lanes" }, make("div", { class: "labels" }, ...labels), stage, ticks),
    ),
    moved: (/** @type {number} */ time, /** @type {boolean} */ follows) => {
      now = time;
      if (follows && (time > view.to || time < view.from)) show(time, view.to - view.from);
      else place();
    },
  };
}

const HELP = "Time line: a click plays from there; plus and minus zoom, left and right move the playhead";

/**
 * A click asks to play from there, a drag moves what is shown, the wheel with a key zooms.
 * @param {HTMLElement} stage
 * @param {{from: number, to: number}} view
 * @param {{seek: (time: number) => void, show: (from: number, width: number) => void, zoom: (factor: number, around: number) => void}} does
 */
function hearPointer(stage, view, { seek, show, zoom }) {
  const timeAt = (/** @type {number} */ x) => {
    const box = stage.getBoundingClientRect();
    return view.from + ((x - box.left) / box.width) * (view.to - view.from);
  };
  /** @type {{x: number, from: number, moved: boolean} | null} */
  let held = null;
  stage.addEventListener("pointerdown", (event) => {
    held = { x: event.clientX, from: view.from, moved: false };
  });
  stage.addEventListener("pointermove", (event) => {
    if (!held || !event.buttons) return;
    const shift = event.clientX - held.x;
    held.moved ||= Math.abs(shift) > STILL;
    if (held.moved)
      show(held.from - (shift / stage.getBoundingClientRect().width) * (view.to - view.from), view.to - view.from);
  });
  stage.addEventListener("click", (event) => {
    if (!held?.moved) seek(Math.max(0, timeAt(event.clientX)));
    held = null;
  });
  stage.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoom(event.deltaY < 0 ? ZOOM : 1 / ZOOM, timeAt(event.clientX));
    },
    { passive: false },
  );
}

/** @param {{from: number, to: number}} view */
function clockTicks({ from, to }) {
  const step = STEPS.find((one) => (to - from) / one <= TICKS) ?? STEPS[STEPS.length - 1];
  const first = Math.ceil(from / step);
  return Array.from({ length: Math.floor(to / step) - first + 1 }, (_, i) => {
    const time = (first + i) * step;
    const tick = make("span", { hidden: (time - from) / (to - from) > 0.97 }, step < 1 ? clockText(time) : clockText(time).replace(/\.\d$/, ""));
    tick.style.left = `${(100 * (time - from)) / (to - from)}%`;
    return tick;
  });
}

/**
 * What a lane is drawn with: columns of the canvas, the times between which each lies, and colours.
 * @param {HTMLCanvasElement} canvas
 * @param {{from: number, to: number}} view
 * @returns {Pen}
 */
function penOf(canvas, view) {
  const scale = devicePixelRatio || 1;
  const columns = Math.max(1, Math.round(canvas.clientWidth * scale));
  const rows = Math.max(1, Math.round(canvas.clientHeight * scale));
  canvas.width = columns;
  canvas.height = rows;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const width = (view.to - view.from) / columns;
  return { context, columns, rows, time: (column) => view.from + column * width, palette: isDark() ? DARK : LIGHT };
}

/** @param {number[]} colour */
function css(colour) {
  return `rgb(${colour.join(" ")})`;
}

/** The waveform between its lowest and highest samples. @param {Pen} pen @param {Cells} wave @param {number} step */
function drawWave({ context, columns, rows, time, palette }, wave, step) {
  const points = wave.columns;
  const scale = ((1 - 2 * MARGIN) * rows) / (wave.high - wave.low || 1);
  context.fillStyle = css(Array(3).fill(palette.ink));
  for (let column = 0; column < columns; column++) {
    const first = Math.min(points - 1, Math.floor(time(column) / step));
    const last = Math.min(points - 1, Math.max(first, Math.ceil(time(column + 1) / step) - 1));
    let [low, high] = [Infinity, -Infinity];
    for (let point = first; point <= last; point++) {
      low = Math.min(low, valueAt(wave, point));
      high = Math.max(high, valueAt(wave, points + point));
    }
    const top = rows / 2 - high * scale;
    context.fillRect(column, top, 1, Math.max(1, (high - low) * scale));
  }
}

/**
 * A row of values as columns up or down from zero.
 * @param {Pen} pen
 * @param {Cells} cells
 * @param {number} row
 * @param {(time: number) => number} place of a time among the row's columns
 */
function drawValues({ context, columns, rows, time, palette }, cells, row, place) {
  const [low, high] = [Math.min(0, cells.low), Math.max(0, cells.high)];
  const scale = ((1 - 2 * MARGIN) * rows) / (high - low || 1);
  const zero = rows * MARGIN + high * scale;
  const last = cells.columns - 1;
  for (let column = 0; column < columns; column++) {
    const first = Math.min(last, Math.max(0, Math.round(place(time(column)))));
    const end = Math.min(last, Math.max(first, Math.round(place(time(column + 1))) - 1));
    let value = 0;
    for (let n = first; n <= end; n++) {
      const one = valueAt(cells, row * cells.columns + n);
      if (Math.abs(one) > Math.abs(value)) value = one;
    }
    context.fillStyle = css(value < 0 ? palette.negative : palette.positive);
    const height = Math.abs(value) * scale;
    context.fillRect(column, value < 0 ? zero : zero - height, 1, height);
  }
  context.fillStyle = css(Array(3).fill(palette.veil));
  context.fillRect(0, zero, columns, Math.max(1, devicePixelRatio || 1));
}
