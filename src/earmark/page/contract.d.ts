// What the page is given, for the type checker; no browser reads this file.

/** Bytes in letters of 15 bits. */
interface Packed {
  size: number;
  letters: string;
}
interface Cells {
  rows: number;
  columns: number;
  low: number;
  high: number;
  /** Unpacked when they were loaded. */
  bytes: Uint8Array;
}
interface Sound {
  name: string;
  key: string | null;
  gain: number;
  matched: number;
  heard: number[] | null;
}
interface RelevanceMap {
  name: string;
  cells: Cells | null;
  sum: number | null;
  share: number | null;
}
interface Clip {
  folder: string;
  path: string;
  clip: number;
  seconds: number;
  answers: number[];
  cls_logit: number;
  picture: Cells;
  limit: number;
  maps: RelevanceMap[];
  sounds: Sound[];
}
interface TopClip {
  rank: number;
  path: string;
  clip: number;
  relevance: number | null;
  share: number | null;
  picture: Cells;
  limit: number;
  map: Cells;
  sounds: Sound[];
}
interface Concept {
  number: number;
  share: number | null;
  interval: [number, number] | null;
  name: string;
  evidence: string;
  remarks: string[];
  profile: Cells;
  clips: TopClip[];
}
interface View {
  id: string;
  cls: string;
  layer: string;
  method: string;
  k: number;
  summary: { label: string; value: string; note: string }[];
  clips: Clip[];
  concepts: Concept[];
  notes: string[];
}
interface Coordinates {
  cls: string;
  layer: string;
  method: string;
  k: number;
}
interface ViewEntry extends Coordinates {
  id: string;
}
interface TableEntry {
  key: string;
  name: string;
  title: string;
  columns: string[];
  rows: number;
  keyed: string[];
}
interface Table {
  columns: string[];
  rows: (string | number)[][];
}
interface FigureEntry {
  file: string;
  title: string;
  alt: string;
  cls: string | null;
  layer: string | null;
  method: string | null;
  k: number | null;
}
interface ClassEntry {
  slug: string;
  name: string;
  clips: number;
  left_out: number;
  reason: string;
}
/** An explanation that the model heard; null is what is not known. */
interface ExplanationEntry {
  id: string;
  title: string;
  control: boolean;
  claim: boolean;
  gain: number | null;
  interval: [number, number] | null;
}
interface BesideShown {
  id: string;
  map: Cells;
  limit: number;
  energy: number | null;
  logodds: number | null;
  logodds_in: number | null;
  logodds_out: number | null;
}
interface BesideClip {
  clip: number;
  path: string;
  picture: Cells;
  shown: BesideShown[];
  sounds: Sound[];
}
/** A recording that is explained as a whole: for a class, by a method at a layer. */
interface TrackEntry extends ViewEntry {
  track: string;
  file: string;
  seconds: number;
}
/** Seconds of sound that lie in a file; `key` is null for silence. */
interface Piece {
  key: string | null;
  gain: number;
}
interface TrackSound extends Sound {
  pieces: Piece[];
}
interface Track extends TrackEntry {
  /** Seconds of a piece. */
  piece: number;
  /** Two rows: the lowest and the highest samples. */
  wave: Cells;
  wave_step: number;
  /** A row per concept. */
  scores: Cells;
  score_times: [number, number];
  shares: number[];
  /** A row per class. */
  answers: Cells;
  answer_times: number[];
  mean: number[];
  sounds: TrackSound[];
  remarks: string[];
}
interface MethodEntry {
  name: string;
  title: string;
  layered: boolean;
  control: boolean;
  heard: boolean;
}
interface Data {
  dataset: string;
  others: string[];
  kind: string;
  unit: string;
  rate: number;
  hertz: number[] | null;
  times: [number, number] | null;
  classes: ClassEntry[];
  answers: string[];
  multi_label: boolean;
  split: string;
  accuracy: number | null;
  layers: string[];
  methods: MethodEntry[];
  ks: number[];
  views: ViewEntry[];
  /** Names of the sections, the one first that the page opens with. */
  sections: string[];
  tracks: TrackEntry[];
  explanations: ExplanationEntry[];
  tables: TableEntry[];
  figures: FigureEntry[];
  notes: string[];
}

// What the page itself keeps.

/** What is let through of a clip's sounds. */
interface Mix {
  hear: "mix" | "input" | "standard" | "positive" | "negative";
  level: "true" | "matched";
  solo: string[];
  mute: string[];
  db: Record<string, number>;
}
/** All that a link says. */
interface State extends Mix {
  view: ViewEntry;
  clip: string;
  section: string;
  table: string;
  /** “all” where rows of other views are shown as well. */
  rows: string;
  /** The clip whose explanations stand side by side. */
  compare: string;
  track: string;
}

/** Sounds of one clip that start together, and who is told. */
interface PlaySet {
  sounds: Sound[];
  seconds: number;
  loops: boolean;
  gains: () => number[];
  moved: (seconds: number) => void;
  changed: () => void;
}
/** Sounds of a recording, in pieces of so many seconds. */
interface TrackSet extends PlaySet {
  piece: number;
}
/** What a lane of a time line is drawn with. */
interface Pen {
  context: CanvasRenderingContext2D;
  columns: number;
  rows: number;
  /** Where a column begins, in seconds. */
  time: (column: number) => number;
  palette: { ink: number; veil: number; positive: number[]; negative: number[] };
}
/** A drawn map: where it stands, and its playhead. */
interface Plot {
  figure: HTMLElement;
  canvas: HTMLCanvasElement;
  head: HTMLElement;
  at: (seconds: number) => number;
}
/** What the sections are made of; `loop` is what the reader wants, null before a choice. */
interface App {
  data: Data;
  state: State;
  view: View;
  loop: boolean | null;
  go: (change: Partial<State>, pinned?: keyof Coordinates) => void;
  note: () => void;
  /** Say something about what the link asked for. */
  remark: (sentences: string[]) => void;
}
/** What is played and mixed of a section. */
interface Desk {
  element: HTMLElement;
  set: PlaySet;
  playable: boolean;
  change: (mix: Partial<Mix>) => void;
}
/** A section that follows a state of its view; `clips` are those that keys step through. */
interface Live {
  section: HTMLElement;
  show: () => void;
  desk: () => Desk | null;
  clips: string[];
}
