// @ts-check
// Maps on canvases: grey for how strong the input is, orange for what speaks for the class, blue for what speaks against.
"use strict";

/** @type {WeakMap<Element, () => void>} */
const painters = new WeakMap();

const LIGHT = { paper: 255, ink: 25, veil: 190, positive: [204, 85, 0], negative: [0, 105, 170] };
const DARK = { paper: 24, ink: 240, veil: 85, positive: [255, 146, 60], negative: [80, 175, 255] };

/** @param {Cells} cells @param {number} i */
function valueAt(cells, i) {
  return cells.low + (cells.bytes[i] * (cells.high - cells.low)) / 254;
}

/**
 * Grey of a strength between 0 and 1.
 * @param {number} strength
 * @param {typeof LIGHT} palette
 * @param {boolean} veiled below relevance
 */
function grey(strength, palette, veiled) {
  return palette.paper + Math.min(1, Math.max(0, strength)) * ((veiled ? palette.veil : palette.ink) - palette.paper);
}

/**
 * A colour that covers the ground the more, the more relevance there is.
 * @param {number} ground
 * @param {number} part of the limit, signed
 * @param {typeof LIGHT} palette
 */
function tint(ground, part, palette) {
  const colour = part < 0 ? palette.negative : palette.positive;
  const cover = Math.min(1, Math.abs(part));
  return colour.map((channel) => ground + cover * (channel - ground));
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number} columns
 * @param {number} rows
 * @param {(index: number) => number[]} colour of a cell, the lowest frequency first
 */
function paint(canvas, columns, rows, colour) {
  const image = new ImageData(columns, rows);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      image.data.set([...colour(row * columns + column), 255], 4 * ((rows - 1 - row) * columns + column));
  canvas.width = columns;
  canvas.height = rows;
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}

/** Paint now, and again when the page turns light or dark. @param {HTMLCanvasElement} canvas @param {() => void} how */
function painted(canvas, how) {
  painters.set(canvas, how);
  how();
  return canvas;
}

function repaint() {
  for (const canvas of document.querySelectorAll("canvas")) painters.get(canvas)?.();
}

/** @param {string} text what it shows, in words and numbers; none where words beside it say so */
function emptyCanvas(text) {
  return make("canvas", text ? { role: "img", "aria-label": text } : { "aria-hidden": "true" });
}

/** The input in grey. @param {Cells} cells @param {string} text */
function pictureCanvas(cells, text) {
  const canvas = emptyCanvas(text);
  return painted(canvas, () => {
    const palette = isDark() ? DARK : LIGHT;
    paint(canvas, cells.columns, cells.rows, (i) => Array(3).fill(grey(cells.bytes[i] / 254, palette, false)));
  });
}

/**
 * Relevance in colours, over a veil of the input where there is one of the same size.
 * @param {Cells} cells
 * @param {number} limit
 * @param {string} text
 * @param {Cells} [under]
 */
function mapCanvas(cells, limit, text, under) {
  const canvas = emptyCanvas(text);
  const below = under && under.rows === cells.rows && under.columns === cells.columns ? under.bytes : null;
  return painted(canvas, () => {
    const palette = isDark() ? DARK : LIGHT;
    paint(canvas, cells.columns, cells.rows, (i) =>
      tint(grey(below ? below[i] / 254 : 0, palette, true), valueAt(cells, i) / (limit || 1), palette),
    );
  });
}

/** @param {number} limit */
function relevanceLegend(limit) {
  const canvas = emptyCanvas("");
  painted(canvas, () => {
    const palette = isDark() ? DARK : LIGHT;
    paint(canvas, 101, 1, (i) => tint(palette.paper, i / 50 - 1, palette));
  });
  return make(
    "p",
    { class: "legend" },
    make("span", {}, `−${show(limit)} against`),
    canvas,
    make("span", {}, `+${show(limit)} for`),
    make("span", { class: "quiet" }, "relevance of a cell; 0 has no colour"),
  );
}

/** @param {Cells} cells @param {string} unit */
function strengthLegend(cells, unit) {
  const canvas = emptyCanvas("");
  painted(canvas, () => {
    const palette = isDark() ? DARK : LIGHT;
    paint(canvas, 101, 1, (i) => Array(3).fill(grey(i / 100, palette, false)));
  });
  return make(
    "p",
    { class: "legend" },
    make("span", {}, show(cells.low)),
    canvas,
    make("span", {}, show(cells.high)),
    make("span", { class: "quiet" }, unit),
  );
}

/** @param {Cells} cells */
function topOf(cells) {
  return cells.bytes.reduce((best, byte, i) => (byte > cells.bytes[best] ? i : best), 0);
}

/**
 * Where the strongest cell is, in words.
 * @param {Cells} cells
 * @param {Data} data
 */
function strongest(cells, data) {
  const top = topOf(cells);
  const row = Math.floor(top / cells.columns);
  const column = top % cells.columns;
  const height = data.hertz ? `${show(data.hertz[row])} Hz` : `row ${row}`;
  const time = data.times ? `${secondsOf(data.times, column, cells.columns).toFixed(2)} s` : `column ${column}`;
  return `strongest at ${height}, ${time}`;
}

/** Where what speaks for the class is strongest, in words. @param {Cells} cells @param {Data} data */
function speaking(cells, data) {
  return valueAt(cells, topOf(cells)) > 0 ? strongest(cells, data) : "no cell speaks for the class";
}

/** @param {[number, number]} times @param {number} column @param {number} columns */
function secondsOf([first, last], column, columns) {
  return first + ((last - first) * column) / Math.max(1, columns - 1);
}

/** Part of the width at which a time lies. @param {Data} data @param {number} columns @param {number} seconds of the clip */
function timeScale(data, columns, seconds) {
  const times = data.times;
  if (!times || columns < 2)
    return { at: (/** @type {number} */ time) => time / seconds, from: (/** @type {number} */ part) => part * seconds };
  const step = (times[1] - times[0]) / (columns - 1);
  return {
    at: (/** @type {number} */ time) => ((time - times[0]) / step + 0.5) / columns,
    from: (/** @type {number} */ part) => times[0] + (part * columns - 0.5) * step,
  };
}

/** A step of 1, 2 or 5 that divides a span into some parts. @param {number} span @param {number} parts */
function niceStep(span, parts) {
  const rough = span / parts;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * /** @type {number} */ ([1, 2, 5, 10].find((factor) => factor * power >= rough));
}

/**
 * Labels along the time axis and where they stand, as parts of the width.
 * @param {Data} data
 * @param {number} columns
 * @param {number} seconds
 */
function timeTicks(data, columns, seconds) {
  const span = data.times ? seconds : columns - 1;
  const step = niceStep(span || 1, 5);
  const scale = timeScale(data, columns, seconds);
  const at = (/** @type {number} */ value) => (data.times ? scale.at(value) : (value + 0.5) / columns);
  const count = Math.floor(span / step + 1e-9);
  const ticks = Array.from({ length: count + 1 }, (_, i) => ({
    text: String(Number((i * step).toPrecision(6))),
    at: at(i * step),
  }));
  return ticks.filter((tick) => tick.at >= 0 && tick.at <= 1);
}

/**
 * Labels along the frequency axis and where they stand, from the bottom, as parts of the height.
 * @param {number[] | null} hertz
 * @param {number} rows
 */
function heightTicks(hertz, rows) {
  if (!hertz) {
    const step = niceStep(Math.max(1, rows - 1), 4);
    return Array.from({ length: Math.floor((rows - 1) / step) + 1 }, (_, i) => ({
      text: String(i * step),
      at: (i * step + 0.5) / rows,
    }));
  }
  const values = [50, 100, 250, 500, 1000, 2000, 4000, 8000, 16000];
  const ticks = values.map((value) => ({
    text: value < 1000 ? String(value) : `${value / 1000}k`,
    at: (rowOf(hertz, value) + 0.5) / rows,
  }));
  return apart(ticks.filter((tick) => tick.at >= 0 && tick.at <= 1));
}

/** Those of some labels that do not run into one before them. @param {{text: string, at: number}[]} ticks */
function apart(ticks) {
  /** @type {typeof ticks} */
  const kept = [];
  for (const tick of ticks) if (!kept.length || tick.at - kept[kept.length - 1].at > 0.09) kept.push(tick);
  return kept;
}

/** The row of a frequency, between the centres of rows; −1 or the number of rows if beyond. @param {number[]} hertz @param {number} value */
function rowOf(hertz, value) {
  const above = hertz.findIndex((centre) => centre >= value);
  if (above < 0) return hertz.length;
  if (above === 0) return hertz[0] === value ? 0 : -1;
  return above - 1 + (value - hertz[above - 1]) / (hertz[above] - hertz[above - 1]);
}

/** @param {{text: string, at: number}[]} ticks @param {"left" | "bottom"} side @param {string} className */
function axis(ticks, side, className) {
  return make(
    "div",
    { class: className, "aria-hidden": "true" },
    ...ticks.map(({ text, at }) => {
      const tick = make("span", {}, text);
      tick.style.setProperty(side, `${100 * at}%`);
      return tick;
    }),
  );
}

/**
 * A canvas with axes, and a playhead that follows the sound; a click asks to play from there.
 * @param {HTMLCanvasElement} canvas
 * @param {Data} data
 * @param {number} seconds of the clip
 * @param {(seconds: number) => void} seek
 * @returns {Plot}
 */
function plot(canvas, data, seconds, seek) {
  const scale = timeScale(data, canvas.width, seconds);
  const head = make("div", { class: "playhead" });
  const stage = make("div", { class: "stage" }, canvas, head);
  stage.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    seek(Math.min(seconds, Math.max(0, scale.from((event.clientX - box.left) / box.width))));
  });
  const figure = make(
    "div",
    { class: "plot" },
    make("span", { class: "unit high", "aria-hidden": "true" }, data.hertz ? "Hz" : "row"),
    axis(heightTicks(data.hertz, canvas.height), "bottom", "heights"),
    stage,
    axis(timeTicks(data, canvas.width, seconds), "left", "times"),
    make("span", { class: "unit wide", "aria-hidden": "true" }, data.times ? "s" : "col."),
  );
  return { figure, canvas, head, at: (time) => Math.min(1, Math.max(0, scale.at(time))) };
}

/** Put the playheads of some plots where the sound is. @param {Plot[]} plots @param {number} seconds */
function moveHeads(plots, seconds) {
  for (const { head, at } of plots) head.style.left = `${100 * at(seconds)}%`;
}
