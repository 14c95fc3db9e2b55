// @ts-check
// Opens the page, shows what its link says, and hears the keyboard.
"use strict";

/** @param {Data} data */
function headLine(data) {
  const accuracy = data.accuracy === null ? "" : ` · accuracy ${show(100 * data.accuracy)} %`;
  return [
    make("strong", {}, data.dataset),
    ` · ${data.answers.length} ${data.answers.length === 1 ? "class" : "classes"}${accuracy} · ${data.kind} · ${data.rate / 1000} kHz${data.split === "main" ? "" : ` · network ${data.split}`}`,
  ];
}

/** @param {Data} data */
function fillHeader(data) {
  byId("about").replaceChildren(...headLine(data));
  const others = byId("others");
  others.hidden = !data.others.length;
  others.replaceChildren(
    "Other data sets: ",
    ...data.others.map((name) => make("a", { href: `../../${encodeURIComponent(name)}/report/index.html` }, name)),
  );
}

function keepTheme() {
  const button = byId("theme");
  const update = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    repaint();
  };
  button.addEventListener("click", () => {
    setTheme(isDark() ? "light" : "dark");
    update();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", update);
  update();
}

/** @param {App} app */
function fillChooser(app) {
  const { data, state } = app;
  const { view } = state;
  const computed = (/** @type {keyof Coordinates} */ axis) => new Set(data.views.map((one) => one[axis]));
  /** @param {keyof Coordinates} axis @param {string} title @param {{value: string | number, text: string}[]} options */
  const axisChoice = (axis, title, options) =>
    choice(
      axis,
      title,
      options.map(({ value, text }) => ({
        value: String(value),
        text: computed(axis).has(value) ? text : `${text} (not computed)`,
        off: !computed(axis).has(value),
      })),
      String(view[axis]),
      (value) => app.go({ view: { ...app.state.view, [axis]: axis === "k" ? Number(value) : value } }, axis),
    );
  const named = (/** @type {(string | number)[]} */ values) => values.map((value) => ({ value, text: String(value) }));
  const classes = data.classes.map((cls) => ({ value: cls.slug, text: cls.name, off: !computed("cls").has(cls.slug) }));
  const { views } = data;
  byId("chooser").replaceChildren(
    make(
      "div",
      { class: "axes" },
      choice("cls", "Class", classes, view.cls, (value) => app.go({ view: { ...app.state.view, cls: value } }, "cls")),
      axisChoice(
        "layer",
        "Layer",
        named(
          unique(
            data.layers,
            views.map((one) => one.layer),
          ),
        ),
      ),
      axisChoice(
        "method",
        "Method",
        named(
          unique(
            data.methods.map((method) => method.name),
            views.map((one) => one.method),
          ),
        ),
      ),
      axisChoice(
        "k",
        "Concepts (K)",
        named(
          unique(
            data.ks,
            views.map((one) => one.k),
          ).sort((a, b) => a - b),
        ),
      ),
    ),
    ...data.classes
      .filter((cls) => !computed("cls").has(cls.slug))
      .map((cls) =>
        make(
          "p",
          { class: "quiet" },
          cls.reason ? `${cls.name} has no clips: ${cls.reason}` : `${cls.name} was not explained.`,
        ),
      ),
  );
}

/** @param {App} app */
function fillSections({ data, state }) {
  byId("sections").replaceChildren(
    ...SECTIONS.filter(({ name }) => data.sections.includes(name)).map(({ name, title }) =>
      make(
        "a",
        {
          href: linkTo({ ...state, section: name, table: "" }),
          id: `to-${name}`,
          "aria-current": name === state.section ? "page" : null,
        },
        title,
      ),
    ),
  );
}

/** @param {App} app */
function notesSection({ data }) {
  const methods = data.methods.map((method) =>
    make(
      "div",
      {},
      make("dt", {}, method.name),
      make("dd", {}, `${method.title}${method.control ? " (a control)" : ""}`),
    ),
  );
  const classes = data.classes.map((cls) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, cls.name),
      make("td", { class: "number" }, String(cls.clips)),
      make("td", { class: "number" }, String(cls.left_out)),
      make("td", {}, cls.reason),
    ),
  );
  const titles = ["Class", "Clips scored", "Left out", "Why it has none"];
  return make(
    "section",
    { "aria-labelledby": "notes-title" },
    make("h2", { id: "notes-title" }, "Notes"),
    noteList(data.notes),
    make("h3", {}, "Methods"),
    make("dl", { class: "methods" }, ...methods),
    make("h3", {}, "Classes"),
    scrolled(
      "Classes",
      make(
        "table",
        {},
        make("thead", {}, make("tr", {}, ...titles.map((title) => make("th", { scope: "col" }, title)))),
        make("tbody", {}, ...classes),
      ),
    ),
  );
}

/** @param {string[]} remarks */
function fillRemarks(remarks) {
  byId("remarks").replaceChildren(...remarks.map((text) => make("p", { class: "notice" }, text)));
}

/** The page as it is now: what its link says, and what is shown of it. */
class Page {
  /** @param {Data} data @param {State} state */
  constructor(data, state) {
    this.clips = new Player(data.rate);
    this.reel = new Reel(data.rate);
    /** @type {App} */
    this.app = {
      data,
      state,
      view: /** @type {any} */ (null),
      loop: null,
      go: (change, pinned) => this.go(change, pinned),
      note: () => this.note(),
    };
    /** @type {ReturnType<typeof listenSection> | ReturnType<typeof tracksSection> | null} */
    this.listening = null;
    this.shows = "";
  }

  /** What plays the sounds of the section that is shown. @returns {Player} */
  get player() {
    return this.app.state.section === "tracks" ? this.reel : this.clips;
  }

  /** Follow a choice of the reader. @param {Partial<State>} change @param {keyof Coordinates} [pinned] */
  go(change, pinned) {
    const { data, state } = this.app;
    const next = { ...state, ...change };
    const remarks = change.view
      ? detour(data, change.view, (next.view = nearest(data.views, change.view, pinned)))
      : [];
    if (change.view) Object.assign(next, firstMix(), { clip: "", compare: "", level: state.level });
    return this.visit(next, remarks, true);
  }

  /**
   * Show a state; where only the clip is another, all else stays.
   * @param {State} wanted
   * @param {string[]} remarks
   * @param {boolean} step that the browser's way back takes
   */
  async visit(wanted, remarks, step) {
    const { app } = this;
    const goesOn = this.player.playing;
    app.state = wanted;
    try {
      const view = await load(`views/${wanted.view.id}`);
      if (app.state !== wanted) return;
      const held = holdAgainst(wanted, view);
      app.state = held.state;
      app.view = view;
      fillRemarks([...remarks, ...held.remarks]);
    } catch (error) {
      fillRemarks([...remarks, sentenceOf(error)]);
      byId("main").replaceChildren(make("p", {}, "This view cannot be shown; choose another one above."));
      this.shows = "";
      for (const axis of AXES) mark(axis, String(wanted.view[axis]));
      return;
    }
    this.note(step);
    for (const axis of AXES) mark(axis, String(wanted.view[axis]));
    this.fill();
    if (goesOn && this.listening) void this.player.play();
  }

  fill() {
    const { app } = this;
    const { state, data } = app;
    const shows = `${state.section} ${state.view.id} ${state.section === "tracks" ? state.track : ""}`;
    if (shows === this.shows && this.listening) {
      mark("clip", state.clip);
      this.listening.showClip();
    } else {
      this.clips.pause();
      this.reel.pause();
      this.player.expose();
      this.listening = this.playable(state.section);
      refill(byId("main"), this.listening?.section ?? this.section(state.section));
    }
    this.shows = shows;
    document.title = `${className(data, state.view.cls)} · ${data.dataset} · Hear what the model hears`;
  }

  /** @param {string} name */
  playable(name) {
    if (name === "listen") return listenSection(this.app, this.clips);
    return name === "tracks" ? tracksSection(this.app, this.reel) : null;
  }

  /** @param {string} name */
  section(name) {
    if (name === "concepts") return conceptsSection(this.app, this.player);
    if (name === "beside") return besideSection(this.app, this.player);
    if (name === "tables") return tablesSection(this.app);
    if (name === "figures") return figuresSection(this.app);
    return notesSection(this.app);
  }

  /** Say the present state in the address. @param {boolean} [step] */
  note(step = false) {
    const link = linkTo(this.app.state);
    if (link !== location.hash) history[step ? "pushState" : "replaceState"](null, "", link);
    const focused = document.activeElement?.id;
    fillSections(this.app);
    if (focused?.startsWith("to-")) byId(focused).focus();
  }

  /** Change the mix of the clip that is shown. @param {Partial<Mix>} mix */
  mix(mix) {
    this.listening?.desk()?.change(mix);
  }

  /** @param {number} number of the concept; 0 for all of them */
  solo(number) {
    const name = `concept${number}`;
    const clip = this.clip;
    if (number === 0) this.mix({ solo: [], hear: "mix" });
    else if (clip?.sounds.some((sound) => sound.name === name))
      this.mix({ solo: this.app.state.solo.join() === name ? [] : [name], hear: "mix" });
  }

  get clip() {
    return this.listening ? this.app.view.clips.find((clip) => clip.folder === this.app.state.clip) : undefined;
  }

  /** @param {number} step */
  otherClip(step) {
    const { clips } = this.app.view;
    const i = clips.findIndex((clip) => clip.folder === this.app.state.clip) + step;
    if (clips[i]) this.go({ clip: clips[i].folder });
  }

  /** @param {number} step */
  otherConcept(step) {
    const count = this.app.view.concepts.length;
    const now = Number(/^concept(\d+)$/.exec(this.app.state.solo[0] ?? "")?.[1] ?? (step > 0 ? 0 : count + 1));
    const next = now + step;
    if (next >= 1 && next <= count) this.solo(next);
  }

  muteAlone() {
    const [name] = this.app.state.solo;
    const { mute } = this.app.state;
    if (name) this.mix({ solo: [], mute: mute.includes(name) ? mute.filter((one) => one !== name) : [...mute, name] });
  }

  /** Keys for the player; what a control under the focus does by itself is left to it. @param {KeyboardEvent} event */
  press(event) {
    const desk = this.listening?.desk();
    const target = /** @type {Element} */ (event.target);
    if (
      !desk?.playable ||
      event.ctrlKey ||
      event.altKey ||
      event.metaKey ||
      target.closest("select, textarea, input[type=text]")
    )
      return;
    const inPlayer = !!target.closest("#desk, #clip");
    const takesArrows = !!target.closest("input, .scroll");
    const takesSpace = !!target.closest("button, summary, input[type=checkbox]");
    /** @type {Record<string, (() => void) | false>} */
    const keys = {
      " ": !takesSpace && (() => this.togglePlay()),
      ArrowLeft: !takesArrows && (() => this.otherClip(-1)),
      ArrowRight: !takesArrows && (() => this.otherClip(1)),
      ArrowUp: inPlayer && !takesArrows && (() => this.otherConcept(-1)),
      ArrowDown: inPlayer && !takesArrows && (() => this.otherConcept(1)),
      m: () => this.muteAlone(),
    };
    const act = /^\d$/.test(event.key) ? () => this.solo(Number(event.key)) : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  togglePlay() {
    const desk = this.listening?.desk();
    if (!desk) return;
    this.player.open(desk.set);
    this.player.toggle();
  }
}

async function openPage() {
  keepTheme();
  /** @type {Data} */
  let data;
  try {
    data = await load("data");
  } catch (error) {
    byId("main").replaceChildren(make("p", { class: "notice", role: "alert" }, sentenceOf(error)));
    return;
  }
  fillHeader(data);
  if (!data.views.length) {
    fillRemarks(data.classes.flatMap((cls) => whyEmpty(data, cls.slug)));
    byId("main").replaceChildren(
      make(
        "p",
        {},
        "Nothing of this data set was explained: name layers, methods and K in its configuration, and run the workflow again.",
      ),
    );
    return;
  }
  const opening = readLink(data, location.hash);
  const page = new Page(data, opening.state);
  fillChooser(page.app);
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address says the view, and nothing else
    byId("main").focus();
  });
  byId("chooser").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("keydown", (event) => page.press(event));
  addEventListener("hashchange", () => {
    const { state, remarks } = readLink(data, location.hash);
    void page.visit(state, remarks, false);
  });
  await page.visit(opening.state, opening.remarks, false);
}

void openPage();
