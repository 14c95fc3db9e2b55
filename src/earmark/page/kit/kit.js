// @ts-check
// A listening test without a server: the sounds of a page are heard in step and rated; the ratings are saved as a file.
"use strict";

/**
 * @typedef {{name: string, sound: Sound}} Stimulus
 * @typedef {{name: string, answer: string, seconds: number, stimuli: Stimulus[]}} Trial the reference first
 * @typedef {{name: string, title: string, asks: string, low: string, high: string}} Question
 * @typedef {{test: string, title: string, rate: number, lowest: number, highest: number, columns: string[], welcome: string[], questions: Question[], trials: Trial[]}} Kit
 * @typedef {{question: Question, trial: Trial, order: Stimulus[], scores: Map<string, number>, milliseconds: number}} Page
 */

/** In an order by lot (Fisher and Yates). @template T @param {T[]} items */
function shuffled(items) {
  const found = [...items];
  for (let n = found.length - 1; n > 0; n--) {
    const other = Math.floor(Math.random() * (n + 1));
    [found[n], found[other]] = [found[other], found[n]];
  }
  return found;
}

/** A number that no other session has, of 122 bits by lot (RFC 9562, version 4). */
function sessionNumber() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [0, 8, 12, 16, 20].map((from, i, all) => digits.slice(from, all[i + 1])).join("-");
}

/** A cell of a CSV file. @param {string | number} value */
function quoted(value) {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {string} id @param {string} text @param {() => void} click @param {string} [look] */
function button(id, text, click, look = "") {
  return make("button", { type: "button", id, class: look, click }, text);
}

/** What a button says of a sound. @param {string} title */
function labelled(title) {
  const text = `${title[0].toUpperCase()}${title.slice(1)}`;
  return (/** @type {Sound} */ sound, /** @type {boolean} */ on) => ({
    text: `${on ? "❚❚" : "▶"} ${text}`,
    spoken: sound.key === null ? `${text} is silent` : `${on ? "Pause" : "Play"} ${title}`,
  });
}

/** A question with the answer in it, which stands out. @param {string} asks @param {string} answer */
function marked(asks, answer) {
  return asks.split("{answer}").flatMap((text, i) => (i ? [make("strong", {}, answer), text] : [text]));
}

/** One listener's way through a test. */
class Session {
  /** @param {Kit} kit */
  constructor(kit) {
    this.kit = kit;
    this.number = sessionNumber();
    this.listener = "";
    this.saved = true;
    this.player = new Player(kit.rate);
    /** All clips for one question, then for the next. @type {Page[]} */
    this.pages = kit.questions.flatMap((question) =>
      shuffled(kit.trials).map((trial) => ({
        question,
        trial,
        order: shuffled(trial.stimuli),
        scores: new Map(),
        milliseconds: 0,
      })),
    );
  }

  /** The ratings as webMUSHRA writes them down. */
  written() {
    const rows = this.pages.flatMap(({ question, trial, scores, milliseconds }) =>
      [...scores].map(([stimulus, score]) => ({
        session_test_id: this.kit.test,
        listener: this.listener,
        session_uuid: this.number,
        trial_id: `${trial.name}-${question.name}`,
        rating_stimulus: stimulus,
        rating_score: score,
        rating_time: Math.round(milliseconds),
        rating_comment: "",
      })),
    );
    const { columns } = this.kit;
    const lines = [columns, ...rows.map((row) => columns.map((name) => row[/** @type {keyof typeof row} */ (name)]))];
    return lines.map((line) => `${line.map(quoted).join(",")}\n`).join("");
  }

  /**
   * Another page in the place of the present one, whose sounds stop.
   * @param {{title: string, place: string, done: number}} about
   * @param {...Node} content
   */
  show({ title, place, done }, ...content) {
    this.player.pause();
    byId("place").textContent = place;
    byId("title").textContent = title;
    byId("progress").setAttribute("value", String(done / this.pages.length));
    byId("main").replaceChildren(...content);
    byId("title").focus();
    scrollTo(0, 0);
  }

  welcome() {
    const [{ stimuli, seconds }] = this.kit.trials;
    const label = labelled("a sound");
    const tried = makeSwitch(this.player, [stimuli[0].sound], { seconds, loops: true, first: 0, label });
    const name = make("input", { id: "listener", type: "text", autocomplete: "off" });
    const start = () => {
      this.listener = name.value.trim();
      this.open(0);
    };
    this.show(
      { title: this.kit.title, place: "A listening test", done: 0 },
      make(
        "div",
        { class: "intro" },
        ...this.kit.welcome.map((text) => make("p", {}, text)),
        make("p", {}, "Play this sound, make it as loud as you like to hear, and leave it so."),
        make("p", {}, ...tried.buttons),
        tried.status,
        make("label", { for: "listener" }, "Your name, or a number that only you use"),
        name,
      ),
      make("div", { class: "onward" }, button("start", "Start", start, "main")),
    );
  }

  /** @param {number} number of a page */
  open(number) {
    const page = this.pages[number];
    const { question, trial, order } = page;
    const opened = performance.now();
    const leave = (/** @type {number} */ other) => {
      page.milliseconds += performance.now() - opened;
      if (other < this.pages.length) this.open(other);
      else this.finish();
    };
    // The reference is heard twice, and known by its place alone.
    const sounds = [trial.stimuli[0], ...order].map(({ sound }) => ({ ...sound }));
    const titles = ["the reference", ...order.map((_, i) => `sound ${i + 1}`)];
    const heard = makeSwitch(this.player, sounds, {
      seconds: trial.seconds,
      loops: true,
      first: 0,
      label: (sound, on) => labelled(titles[sounds.indexOf(sound)])(sound, on),
    });
    const [reference, ...plays] = heard.buttons;
    const lacking = make("p", { class: "quiet", id: "lacking", role: "status" });
    const next = () => {
      const left = order.length - page.scores.size;
      if (left) say(lacking, left === 1 ? "One sound has no points yet." : `${left} sounds have no points yet.`);
      else leave(number + 1);
    };
    const back = button("back", "Back", () => leave(number - 1));
    back.hidden = number === 0;
    this.show(
      { title: question.title, place: `Page ${number + 1} of ${this.pages.length}`, done: number },
      make("p", { class: "asked" }, ...marked(question.asks, trial.answer)),
      make("p", { class: "reference" }, reference, heard.status),
      make("p", { class: "ends" }, ...this.ends(question)),
      make("ol", { class: "rows" }, ...order.map((one, i) => this.row(page, one, titles[i + 1], plays[i]))),
      make("div", { class: "onward" }, button("next", "Next", next, "main"), back, lacking),
    );
  }

  /** @param {Question} question */
  ends({ low, high }) {
    const { lowest, highest } = this.kit;
    return [make("span", {}, `${lowest}: ${low}`), make("span", {}, `${highest}: ${high}`)];
  }

  /**
   * A sound and its points; as long as it has none its slider stands in the middle and says so.
   * @param {Page} page
   * @param {Stimulus} one
   * @param {string} title
   * @param {HTMLElement} play
   */
  row(page, one, title, play) {
    const { lowest, highest } = this.kit;
    const shown = make("output", {}, "–");
    const slider = make("input", {
      type: "range",
      min: lowest,
      max: highest,
      value: page.scores.get(one.name) ?? (lowest + highest) / 2,
      "aria-label": `Points of ${title}`,
      "aria-valuetext": "no points yet",
      input: () => rate(),
      click: () => rate(),
      keydown: (event) => event.key === "Enter" && rate(),
    });
    const row = make("li", { class: "row" }, play, slider, shown);
    const tell = () => {
      shown.textContent = slider.value;
      slider.removeAttribute("aria-valuetext");
      row.classList.add("rated");
    };
    const rate = () => {
      page.scores.set(one.name, Number(slider.value));
      this.saved = false;
      tell();
      say(byId("lacking"), "");
    };
    if (page.scores.has(one.name)) tell();
    return row;
  }

  finish() {
    const file = `${this.kit.test}-${this.number}.csv`;
    const save = () => {
      const address = URL.createObjectURL(new Blob([this.written()], { type: "text/csv" }));
      make("a", { href: address, download: file }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60000);
      this.saved = true;
    };
    this.show(
      { title: "Thank you", place: "All is rated", done: this.pages.length },
      make(
        "p",
        { class: "intro" },
        `Save your ratings as the file ${file}, and give it to whoever asked you. Nothing was sent anywhere.`,
      ),
      make(
        "div",
        { class: "onward" },
        button("save", "Save the ratings", save, "main"),
        button("back", "Back", () => this.open(this.pages.length - 1)),
      ),
    );
  }
}

load("data").then(
  (kit) => {
    const session = new Session(kit);
    session.player.expose();
    addEventListener("beforeunload", (event) => {
      if (!session.saved) event.preventDefault();
    });
    session.welcome();
  },
  (error) => {
    byId("title").textContent = sentenceOf(error);
  },
);
