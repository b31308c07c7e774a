// The curves of one run, as they come from the server.
import { Column, indexAt } from "./parts/series.js";

const names = ["step", "loss", "lr", "grad_norm", "tokens", "ms", "tokens_per_s"];
const mostSamples = 200; // the newest, that a page keeps of a run

export class Curves {
  constructor() {
    this.at = "";
    this.reset();
  }

  reset() {
    for (const name of names) this[name] = new Column();
    this.tokensBefore = new Column(); // of each step
    this.secondsBefore = new Column();
    this.tokensDone = 0;
    this.seconds = 0;
    this.val = [];
    this.hellaswag = [];
    this.sample = [];
    this.restart = [];
    this.scaled = null;
    this.version = (this.version ?? 0) + 1;
  }

  // apply takes a piece. A step that is there already takes its place, and that of all after it.
  apply(piece) {
    if (piece.anew) this.reset();
    const { train } = piece;
    for (let i = 0; i < train.step.length; i++) {
      if (this.step.length && this.step.data[this.step.length - 1] >= train.step[i]) this.cut(train.step[i]);
      this.tokensBefore.push(this.tokensDone);
      this.secondsBefore.push(this.seconds);
      for (const name of names) this[name].push(train[name][i] ?? NaN);
      this.tokensDone = train.tokens[i];
      this.seconds += Math.max(0, train.ms[i] ?? 0) / 1e3;
    }
    for (const kind of ["val", "hellaswag", "sample"]) {
      for (const line of piece[kind] ?? []) {
        while (this[kind].length && this[kind].at(-1).step >= line.step) this[kind].pop();
        this[kind].push(line);
      }
    }
    if (this.sample.length > mostSamples) this.sample.splice(0, this.sample.length - mostSamples);
    this.restart.push(...(piece.restart ?? []));
    this.at = piece.at;
    this.more = piece.more;
    this.version++;
  }

  // cut drops the steps from one on.
  cut(step) {
    const n = indexAt(this.step.view(), step);
    this.tokensDone = this.tokensBefore.data[n];
    this.seconds = this.secondsBefore.data[n];
    for (const name of [...names, "tokensBefore", "secondsBefore"]) this[name].length = n;
    this.scaled = null;
  }

  // done returns how many steps are done.
  get done() {
    return this.step.length ? this.step.data[this.step.length - 1] + 1 : 0;
  }

  // x returns where the steps lie on an axis. A value is that before its step's update, so it lies where the steps
  // before had ended.
  x(kind) {
    return { step: this.step, tokens: this.tokensBefore, time: this.secondsBefore }[kind];
  }

  // end returns where the last step has ended.
  end(kind) {
    return { step: this.done, tokens: this.tokensDone, time: this.seconds }[kind];
  }

  // place returns where something lies that came before a step.
  place(kind, step) {
    if (kind === "step") return step;
    const n = indexAt(this.step.view(), step);
    return n < this.step.length ? this.x(kind).data[n] : this.end(kind);
  }

  // lossTimes returns the losses times a factor.
  lossTimes(factor) {
    if (factor === 1) return this.loss;
    if (this.scaled?.factor !== factor) this.scaled = { factor, column: new Column() };
    const { column } = this.scaled;
    for (let i = column.length; i < this.loss.length; i++) column.push(this.loss.data[i] * factor);
    return column;
  }

  // mean returns the mean of the newest n values of a column, NaN where there are none.
  mean(name, n) {
    let sum = 0,
      number = 0;
    const { data, length } = this[name];
    for (let i = Math.max(0, length - n); i < length; i++) {
      if (Number.isFinite(data[i])) {
        sum += data[i];
        number++;
      }
    }
    return number ? sum / number : NaN;
  }

  // lossAround returns the mean loss around a step, NaN where there is none.
  lossAround(index, steps) {
    let sum = 0,
      number = 0;
    const half = Math.min(Math.floor((steps - 1) / 2), index);
    for (let i = index - half; i <= Math.min(index + half, this.loss.length - 1); i++) {
      if (Number.isFinite(this.loss.data[i])) {
        sum += this.loss.data[i];
        number++;
      }
    }
    return number ? sum / number : NaN;
  }

  get best() {
    return this.val.reduce((best, v) => (v.loss !== null && (!best || v.loss < best.loss) ? v : best), null);
  }
}
