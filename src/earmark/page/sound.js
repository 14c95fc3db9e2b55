// @ts-check
// One clock for all sounds of a clip: they start at one time of one context, and what is heard is set by gains.
"use strict";

const SMOOTHING = 0.005;
const LEAD = 0.03;
const KEPT = 48;

/** Sounds that are heard by themselves: the input, what parts of it sum to, and what is no part of it. */
const WHOLE = /** @type {const} */ (["input", "standard", "positive", "negative"]);

/** Parts of the input that may be mixed. @param {Sound[]} sounds */
function mixed(sounds) {
  return sounds.filter((sound) => !isWhole(sound.name));
}

/** @param {string} name @returns {name is typeof WHOLE[number]} */
function isWhole(name) {
  return WHOLE.some((one) => one === name);
}

/**
 * Names of the sounds that a mix lets through. A solo is heard even where it is muted.
 * @param {Sound[]} sounds
 * @param {Mix} mix
 */
function heardIn(sounds, mix) {
  if (mix.hear !== "mix") return [mix.hear];
  const names = mixed(sounds).map((sound) => sound.name);
  return mix.solo.length
    ? names.filter((name) => mix.solo.includes(name))
    : names.filter((name) => !mix.mute.includes(name));
}

/**
 * What each stored sound is multiplied by.
 * @param {Sound[]} sounds
 * @param {Mix} mix
 */
function gainsOf(sounds, mix) {
  const heard = heardIn(sounds, mix);
  const level = (/** @type {Sound} */ sound) => (mix.hear === "mix" ? 10 ** ((mix.db[sound.name] ?? 0) / 20) : 1);
  return sounds.map((sound) =>
    heard.includes(sound.name) ? (mix.level === "matched" ? sound.matched : sound.gain) * level(sound) : 0,
  );
}

/**
 * The sounds through their gains into one output: the same for the loudspeaker and for a file.
 * @param {BaseAudioContext} context
 * @param {(AudioBuffer | null)[]} buffers null where a sound is silent
 * @param {number[]} gains
 */
function buildGraph(context, buffers, gains) {
  const output = context.createGain();
  output.connect(context.destination);
  const tracks = buffers.map((buffer, i) => {
    if (!buffer) return null;
    const source = context.createBufferSource();
    const gain = context.createGain();
    source.buffer = buffer;
    gain.gain.value = gains[i];
    source.connect(gain).connect(output);
    return { source, gain: gain.gain };
  });
  return {
    output: output.gain,
    tracks: tracks.filter((track) => track !== null),
    knobs: tracks.map((track) => track?.gain ?? null),
  };
}

/** @param {(AudioBuffer | null)[]} buffers @param {number[]} gains */
function peakOf(buffers, gains) {
  const sounding = buffers.flatMap((buffer, i) =>
    buffer && gains[i] ? [{ samples: buffer.getChannelData(0), gain: gains[i] }] : [],
  );
  if (sounding.reduce((sum, { gain }) => sum + gain, 0) <= 1) return 0;
  const length = Math.max(0, ...sounding.map(({ samples }) => samples.length));
  let peak = 0;
  for (let n = 0; n < length; n++) {
    let sum = 0;
    for (const { samples, gain } of sounding) sum += gain * (samples[n] ?? 0);
    peak = Math.max(peak, Math.abs(sum));
  }
  return peak;
}

/** Plays one set of sounds at a time. */
class Player {
  /** @param {number} rate of all sounds, in Hz: the context's as well, so that nothing is resampled before it is mixed */
  constructor(rate) {
    this.rate = rate;
    /** @type {AudioContext | null} */
    this.context = null;
    /** @type {PlaySet | null} */
    this.set = null;
    /** @type {ReturnType<typeof buildGraph> | null} */
    this.graph = null;
    /** @type {(AudioBuffer | null)[]} */
    this.buffers = [];
    /** @type {Map<string, Promise<AudioBuffer>>} */
    this.decoded = new Map();
    this.loading = false;
    this.offset = 0;
    this.start = 0;
    this.trouble = "";
  }

  get playing() {
    return this.graph !== null;
  }

  /** Seconds into the clip of what is heard now. */
  get position() {
    if (!this.context || !this.set || !this.graph) return this.offset;
    const latency = this.context.outputLatency || 0;
    const passed = Math.max(0, this.context.currentTime - latency - this.start) + this.offset;
    return this.set.loops ? passed % this.seconds : Math.min(passed, this.seconds);
  }

  /** Length of what plays: of the samples themselves as soon as they are there. */
  get seconds() {
    return this.buffers.find((buffer) => buffer)?.duration ?? this.set?.seconds ?? 0;
  }

  /** Take up other sounds; what plays stops. @param {PlaySet} set */
  open(set) {
    if (this.set === set) return;
    this.halt();
    const left = this.set;
    this.set = set;
    this.offset = 0;
    this.loading = false;
    this.trouble = "";
    this.buffers = [];
    left?.moved(0);
    left?.changed();
    set.changed();
  }

  /** @param {string} key */
  decode(key) {
    let coming = this.decoded.get(key);
    if (!coming) {
      coming = load(key).then((flac) => {
        forget(key);
        return new OfflineAudioContext(1, 1, this.rate).decodeAudioData(unpacked(flac).buffer);
      });
      coming.catch(() => this.decoded.delete(key));
      this.decoded.set(key, coming);
      if (this.decoded.size > KEPT) this.decoded.delete([...this.decoded.keys()][0]);
    }
    return coming;
  }

  /** @param {PlaySet} set */
  fetch(set) {
    return Promise.all(set.sounds.map((sound) => (sound.key === null ? null : this.decode(sound.key))));
  }

  async play() {
    const set = this.set;
    if (!set || this.playing || this.loading) return;
    this.loading = true;
    this.trouble = "";
    set.changed();
    try {
      this.context ??= new AudioContext({ sampleRate: this.rate });
      const [buffers] = await Promise.all([this.fetch(set), this.context.resume()]);
      if (this.set !== set || !this.loading) return;
      this.buffers = buffers;
      this.launch(this.context, set);
    } catch (error) {
      if (this.set === set) this.trouble = sentenceOf(error);
    }
    if (this.set !== set) return;
    this.loading = false;
    set.changed();
  }

  /** All sources at one frame of the context's clock. @param {AudioContext} context @param {PlaySet} set */
  launch(context, set) {
    const graph = buildGraph(context, this.buffers, set.gains());
    this.start = Math.ceil((context.currentTime + LEAD) * this.rate) / this.rate;
    this.settle();
    graph.output.setValueAtTime(0, this.start);
    graph.output.linearRampToValueAtTime(1, this.start + SMOOTHING);
    for (const { source } of graph.tracks) {
      source.loop = set.loops;
      source.start(this.start, this.offset);
    }
    if (graph.tracks.length)
      graph.tracks[0].source.onended = () => {
        if (this.graph === graph) this.rewind();
      };
    this.graph = graph;
    this.follow(graph);
  }

  /** Begin on a sample, and anew where the end was reached. */
  settle() {
    this.offset = Math.round(this.offset * this.rate) / this.rate;
    if (this.offset >= this.seconds) this.offset = 0;
  }

  /** Tell where the sound is with every frame that is drawn. @param {NonNullable<Player["graph"]>} graph */
  follow(graph) {
    if (this.graph !== graph) return;
    this.set?.moved(this.position);
    requestAnimationFrame(() => this.follow(graph));
  }

  halt() {
    const { graph, context } = this;
    this.graph = null;
    if (!graph || !context) return;
    const now = context.currentTime;
    graph.output.cancelScheduledValues(now);
    graph.output.setTargetAtTime(0, now, SMOOTHING);
    for (const { source } of graph.tracks) source.stop(now + 8 * SMOOTHING);
  }

  rewind() {
    this.halt();
    this.offset = 0;
    this.set?.moved(0);
    this.set?.changed();
  }

  pause() {
    this.offset = this.position;
    this.loading = false;
    this.halt();
    this.set?.moved(this.offset);
    this.set?.changed();
  }

  toggle() {
    if (this.playing || this.loading) this.pause();
    else void this.play();
  }

  /** @param {number} seconds */
  seek(seconds) {
    const { context, set } = this;
    const goesOn = this.playing;
    this.halt();
    this.offset = seconds;
    set?.moved(seconds);
    if (goesOn && context && set) this.launch(context, set);
  }

  /** @param {boolean} loop */
  setLoop(loop) {
    const { set, context, position } = this;
    if (!set) return;
    set.loops = loop;
    for (const { source } of this.graph?.tracks ?? []) source.loop = loop;
    // Rounds that have passed must not count any more.
    if (this.graph && context && !loop)
      [this.offset, this.start] = [position, context.currentTime - (context.outputLatency || 0)];
  }

  /** Gains have changed: go to them within milliseconds, without a click. */
  adjust() {
    const { graph, context, set } = this;
    if (graph && context && set)
      set.gains().forEach((gain, i) => graph.knobs[i]?.setTargetAtTime(gain, context.currentTime, SMOOTHING));
    set?.changed();
  }

  /** The loudest sample of the present mix; 0 where it cannot reach full scale. */
  peak() {
    return this.set && this.buffers.length ? peakOf(this.buffers, this.set.gains()) : 0;
  }

  /** What would be heard of a set from its beginning to its end. @param {PlaySet} set */
  async render(set) {
    const buffers = await this.fetch(set);
    const length = Math.max(1, ...buffers.map((buffer) => buffer?.length ?? 0));
    const offline = new OfflineAudioContext(1, length, this.rate);
    for (const { source } of buildGraph(offline, buffers, set.gains()).tracks) source.start();
    return (await offline.startRendering()).getChannelData(0);
  }

  /** Hand out what tests measure. */
  expose() {
    earmark.render = () => (this.set ? this.render(this.set) : Promise.reject(new Error("Nothing to play is shown.")));
    earmark.playing = () => ({
      playing: this.playing,
      position: this.position,
      start: this.start,
      offset: this.offset,
      time: this.context?.currentTime ?? 0,
      latency: this.context?.outputLatency ?? 0,
      gains: (this.graph?.knobs ?? []).map((knob) => knob?.value ?? 0),
    });
  }
}
