// @ts-check
// Opens the page, shows what its link says, and hears the keyboard.
"use strict";

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
      remark: (sentences) => addRemarks(sentences),
    };
    /** The section that is shown, where it follows what changes. @type {Live | null} */
    this.live = null;
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
    const goesOn = wanted.section === app.state.section && this.player.playing;
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
      this.clear();
      byId("main").replaceChildren(make("p", {}, "This view cannot be shown; choose another one above."));
      this.markView(wanted.view);
      return;
    }
    this.note(step);
    this.markView(app.state.view);
    this.fill();
    if (goesOn && this.live?.desk()) void this.player.play();
  }

  fill() {
    const { app } = this;
    const { state, data } = app;
    const shows = `${state.section} ${state.view.id} ${state.section === "tracks" ? state.track : ""}`;
    if (shows === this.shows && this.live) this.live.show();
    else {
      this.clear();
      this.player.expose();
      this.live = this.playable(state.section);
      refill(byId("main"), this.live?.section ?? this.section(state.section));
    }
    this.shows = shows;
    document.title = `${className(data, state.view.cls)} · ${data.dataset} · Hear what the model hears`;
  }

  /** Nothing that is shown plays any more. */
  clear() {
    this.clips.pause();
    this.reel.pause();
    this.live = null;
    this.shows = "";
  }

  /** @param {Coordinates} view */
  markView(view) {
    for (const axis of AXES) mark(byId(axis), String(view[axis]));
  }

  /** @param {string} name @returns {Live | null} */
  playable(name) {
    if (name === "listen") return listenSection(this.app, this.clips);
    if (name === "beside") return besideSection(this.app, this.clips);
    return name === "tracks" ? tracksSection(this.app, this.reel) : null;
  }

  /** @param {string} name */
  section(name) {
    if (name === "concepts") return conceptsSection(this.app, this.player);
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
    this.live?.desk()?.change(mix);
  }

  /** @param {number} number of the concept; 0 for all of them */
  solo(number) {
    const name = `concept${number}`;
    if (number === 0) this.mix({ solo: [], hear: "mix" });
    else if (this.sounds.some((sound) => sound.name === name))
      this.mix({ solo: this.app.state.solo.join() === name ? [] : [name], hear: "mix" });
  }

  /** What can be mixed now. */
  get sounds() {
    return this.live?.desk()?.set.sounds ?? [];
  }

  /** @param {number} step */
  otherClip(step) {
    const clips = this.live?.clips ?? [];
    const next = clips[clips.indexOf(this.app.state.clip) + step];
    if (next) this.go({ clip: next });
  }

  /** @param {number} step */
  otherConcept(step) {
    const count = this.sounds.filter((sound) => numberOf(sound.name)).length;
    const now = numberOf(this.app.state.solo[0] ?? "") || (step > 0 ? 0 : count + 1);
    const next = now + step;
    if (next >= 1 && next <= count) this.solo(next);
  }

  muteAlone() {
    const [name] = this.app.state.solo;
    const { mute } = this.app.state;
    if (name) this.mix({ solo: [], hear: "mix", mute: mute.includes(name) ? mute.filter((one) => one !== name) : [...mute, name] });
  }

  /** Keys for the player; what a control under the focus does by itself is left to it. @param {KeyboardEvent} event */
  press(event) {
    const desk = this.live?.desk();
    const target = /** @type {Element} */ (event.target);
    if (
      !desk ||
      event.ctrlKey ||
      event.altKey ||
      event.metaKey ||
      target.closest("select, textarea, input[type=text]")
    )
      return;
    const steps = !!this.live?.clips.length;
    const inPlayer = !!target.closest("#desk, #clip");
    const takesArrows = !!target.closest("input, .scroll");
    const takesSpace = !!target.closest("button, summary, input[type=checkbox]");
    /** @type {Record<string, (() => void) | false>} */
    const keys = {
      " ": !takesSpace && (() => this.togglePlay()),
      ArrowLeft: steps && !takesArrows && (() => this.otherClip(-1)),
      ArrowRight: steps && !takesArrows && (() => this.otherClip(1)),
      ArrowUp: inPlayer && !takesArrows && (() => this.otherConcept(-1)),
      ArrowDown: inPlayer && !takesArrows && (() => this.otherConcept(1)),
      m: () => this.muteAlone(),
    };
    const act = /^\d$/.test(event.key) ? () => this.solo(Number(event.key)) : keys[event.key];
    if (!act) return;
    event.preventDefault();
    // A key that is held moves on; it does not switch to and fro.
    if (!event.repeat || event.key.startsWith("Arrow")) act();
  }

  togglePlay() {
    const desk = this.live?.desk();
    if (!desk?.playable) return;
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
