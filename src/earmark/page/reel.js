// @ts-check
// Plays recordings of any length: each sound lies in pieces, which are fetched and started one after the other, on the
// sample; sounds are heard together as those of a clip are.
"use strict";

/** Seconds before its turn at which a piece is handed to the browser. */
const AHEAD = 4;

class Reel extends Player {
  /** @param {number} rate of all sounds, in Hz */
  constructor(rate) {
    super(rate);
    /** What is heard now, and what comes next. @type {{number: number, buffers: (AudioBuffer | null)[]}[]} */
    this.handed = [];
  }

  /** @returns {TrackSound[]} */
  get sounds() {
    return /** @type {TrackSound[]} */ (this.set?.sounds ?? []);
  }

  /** Length of what plays. @override */
  get seconds() {
    return this.set?.seconds ?? 0;
  }

  /** Nothing is fetched before its turn. @override @param {PlaySet} _set @returns {Promise<(AudioBuffer | null)[]>} */
  fetch(_set) {
    return Promise.resolve([]);
  }

  /** The pieces of all sounds from one number on. @param {PlaySet} set @param {number} number */
  piece(set, number) {
    return Promise.all(
      /** @type {TrackSound[]} */ (set.sounds).map(({ pieces }) => {
        const key = pieces[number]?.key;
        return key ? this.decode(key) : null;
      }),
    );
  }

  /** Start at the present offset, and hand over piece after piece. @override @param {AudioContext} context @param {PlaySet} set */
  launch(context, set) {
    const graph = this.wired(context, set);
    this.graph = graph;
    this.handed = [];
    this.settle();
    this.start = Infinity;
    this.follow(graph);
    this.feed(context, set, graph).catch((error) => {
      if (this.graph !== graph) return;
      this.trouble = sentenceOf(error);
      this.pause();
    });
  }

  /** A knob for every sound, into one output. @param {BaseAudioContext} context @param {PlaySet} set */
  wired(context, set) {
    const output = context.createGain();
    output.connect(context.destination);
    const gains = set.gains();
    const inputs = set.sounds.map((_, i) => {
      const gain = context.createGain();
      gain.gain.value = gains[i];
      gain.connect(output);
      return gain;
    });
    /** @type {{ source: AudioBufferSourceNode, gain: AudioParam }[]} */
    const tracks = [];
    return { output: output.gain, tracks, knobs: inputs.map((input) => input.gain), inputs };
  }

  /** @param {AudioContext} context @param {PlaySet} set @param {ReturnType<Reel["wired"]>} graph */
  async feed(context, set, graph) {
    const length = this.pieceSeconds;
    for (let number = Math.floor(this.offset / length); number * length < this.seconds; number++) {
      const buffers = await this.piece(set, number);
      if (this.graph !== graph) return;
      if (this.start === Infinity) this.begin(context, graph, this.offset);
      else if (this.start + number * length - this.offset < context.currentTime)
        this.begin(context, graph, number * length);
      this.hand(context, set, graph, number, buffers);
      this.handed = [...this.handed.slice(-1), { number, buffers }];
      set.changed();
      const due = this.start + (number + 1) * length - this.offset;
      while (this.graph === graph && due - context.currentTime > AHEAD)
        await new Promise((resolve) => setTimeout(resolve, 200));
      if (this.graph !== graph) return;
    }
  }

  /** The clock begins at a place of the recording: the first time, and where a piece came too late. */
  begin(/** @type {AudioContext} */ context, /** @type {ReturnType<Reel["wired"]>} */ graph, /** @type {number} */ at) {
    this.start = Math.ceil((context.currentTime + LEAD) * this.rate) / this.rate;
    this.offset = at;
    graph.output.setValueAtTime(0, this.start);
    graph.output.linearRampToValueAtTime(1, this.start + SMOOTHING);
  }

  /**
   * Start the pieces of all sounds at their frame.
   * @param {BaseAudioContext} context
   * @param {PlaySet} set
   * @param {ReturnType<Reel["wired"]>} graph
   * @param {number} number
   * @param {(AudioBuffer | null)[]} buffers
   */
  hand(context, set, graph, number, buffers) {
    const within = Math.max(0, this.offset - number * this.pieceSeconds);
    const when = this.start + number * this.pieceSeconds + within - this.offset;
    buffers.forEach((buffer, i) => {
      if (!buffer) return;
      const source = context.createBufferSource();
      const gain = context.createGain();
      source.buffer = buffer;
      gain.gain.value = /** @type {TrackSound[]} */ (set.sounds)[i].pieces[number].gain;
      source.connect(gain).connect(graph.inputs[i]);
      source.start(when, within);
      source.onended = () => {
        gain.disconnect();
        graph.tracks = graph.tracks.filter((track) => track.source !== source);
      };
      graph.tracks.push({ source, gain: gain.gain });
    });
  }

  /** The loudest sample of the present mix of these pieces. @override */
  peak() {
    if (!this.set) return 0;
    const gains = this.set.gains();
    return Math.max(
      0,
      ...this.handed.map(({ number, buffers }) =>
        peakOf(
          buffers,
          this.sounds.map(({ pieces }, i) => gains[i] * pieces[number].gain),
        ),
      ),
    );
  }

  get pieceSeconds() {
    return this.sounds.length ? /** @type {TrackSet} */ (this.set).piece : 1;
  }

  /** @override @param {NonNullable<Player["graph"]>} graph */
  follow(graph) {
    if (this.graph !== graph) return;
    const { position } = this;
    if (position >= this.seconds && this.start !== Infinity) return this.rewind();
    this.set?.moved(position);
    requestAnimationFrame(() => this.follow(graph));
  }

  /** What would be heard of a set from its beginning to its end. @override @param {PlaySet} set */
  async render(set) {
    const length = Math.round(set.seconds * this.rate);
    const offline = new OfflineAudioContext(1, length, this.rate);
    const graph = this.wired(offline, set);
    [this.start, this.offset] = [0, 0];
    for (let number = 0; number * this.pieceSeconds < set.seconds; number++)
      this.hand(offline, set, graph, number, await this.piece(set, number));
    return (await offline.startRendering()).getChannelData(0);
  }
}
