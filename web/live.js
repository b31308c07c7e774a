// A run as it trains: progress, figures, curve, texts, device, memory, log.
import { Chart } from "./parts/chart.js";
import { bars, byId, el, fill, put } from "./parts/dom.js";
import { bytes, count, duration, fixed } from "./parts/format.js";

const lookback = 50; // steps of the running mean and of the speed, as on a terminal
const mostEarlier = 30,
  mostLog = 400;

const figures = [
  ["loss", "loss"],
  ["val", "validation"],
  ["rate", "tokens/s"],
  ["tokens", "tokens seen"],
  ["lr", "learning rate"],
];

export class Live {
  // say announces a line to screen readers.
  constructor({ say }) {
    this.say = say;
    fill(
      byId("figures"),
      figures.map(([id, name]) => el("div", el("dt", { text: name }), el(`dd#figure-${id}`, { text: "–" }))),
    );
    this.chart = new Chart(byId("chart"), {
      title: "Loss",
      x: "step",
      y: "nats per token",
      height: 300,
      empty: "The curve begins with the first step. Before it, the browser compiles the kernels.",
    });
    this.clear();
  }

  // clear forgets the run before.
  clear() {
    Object.assign(this, {
      plan: null,
      last: null,
      mean: null,
      times: [],
      best: null,
      text: "",
      texts: [],
      log: [],
      done: 0,
    });
    this.chart.set([
      { id: "train", name: "training", of: 0, x: [], y: [], smooth: true },
      { id: "val", name: "validation", of: 1, x: [], y: [], marked: true },
    ]);
    for (const [id] of figures) put(byId(`figure-${id}`), "–");
    put(byId("sample"), "The first text comes after some steps.");
    byId("sample").classList.remove("caret");
    byId("earlier").hidden = true;
    fill(byId("earlier-list"));
    put(byId("log"), "");
    this.bar();
  }

  // began shows what a run is, and its steps so far.
  began(plan) {
    this.plan = plan;
    this.done = plan.first;
    const lines = plan.lines ?? [];
    this.mean = null;
    this.best = null;
    this.chart.set([
      { id: "train", name: "training", of: 0, x: [], y: [], smooth: true },
      { id: "val", name: "validation", of: 1, x: [], y: [], marked: true },
    ]);
    for (const line of lines) this.record(JSON.parse(line), true);
    this.times = [];
    const device = plan.device ?? {};
    const { max_storage_buffer_binding_size: binding, max_buffer_size: buffer } = device.limits ?? {};
    facts(byId("device"), [
      ["name", device.name],
      ["type", device.type],
      ["driver", device.driver],
      ["largest buffer", buffer && bytes(buffer)],
      ["largest binding", binding && bytes(binding)],
    ]);
    facts(
      byId("device"),
      [
        ["model", shape(plan.config)],
        ["parameters", plan.parameters?.toLocaleString("en")],
        ["a step", `${count(plan.tokens_per_step)} tokens`],
      ],
      true,
    );
    const total = plan.bytes || plan.roles?.reduce((sum, r) => sum + r.bytes, 0) || 0;
    put(byId("memory-title"), `Memory on the GPU: ${bytes(total)}`);
    bars(
      byId("memory"),
      (plan.roles ?? [])
        .filter((r) => r.bytes > 0)
        .map(({ role, bytes: n }, of) => ({
          name: role,
          value: bytes(n),
          share: n / total,
          of,
        })),
    );
    this.bar();
  }

  // record shows a record of metrics.jsonl; old: it was read from the file of a resumed run.
  record(m, old = false) {
    switch (m.kind) {
      case "train":
        this.step(m);
        break;
      case "val":
        this.chart.append("val", m.step, m.loss ?? NaN);
        if (this.best === null || m.loss <= this.best) this.best = m.loss;
        put(byId("figure-val"), fixed(m.loss));
        byId("figure-val").title = `best: ${fixed(this.best)}`;
        break;
      case "sample":
        this.wrote(m, old);
        break;
      case "restart":
        this.line(`step ${m.step}: started again: ${m.reason}`);
    }
  }

  step(m) {
    this.last = m;
    this.done = m.step + 1;
    this.chart.append("train", m.step, m.loss ?? NaN);
    this.seen = (this.seen ?? 0) + 1;
    if (this.mean === null) this.seen = 1;
    if (Number.isFinite(m.loss))
      this.mean = (this.mean ?? m.loss) + (m.loss - (this.mean ?? m.loss)) / Math.min(1 + this.seen / 4, lookback);
    this.times.push(m.ms);
    if (this.times.length > lookback) this.times.shift();
    this.soon();
  }

  // soon shows the newest step, at the next frame: a fast device has hundreds of steps a second.
  soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.show();
    });
  }

  show() {
    const m = this.last;
    if (m) {
      put(byId("figure-loss"), fixed(this.mean));
      byId("figure-loss").title = `running mean of the newest steps; the last one: ${fixed(m.loss)}`;
      put(byId("figure-rate"), this.rate ? count(this.rate) : "–");
      put(byId("figure-tokens"), count(m.tokens));
      put(byId("figure-lr"), m.lr?.toExponential(1) ?? "–");
    }
    this.bar();
  }

  // ms is the mean time of the newest steps; the first one compiles kernels.
  get ms() {
    const times = this.times.length > 1 ? this.times.slice(1) : this.times;
    return times.length ? times.reduce((a, b) => a + b, 0) / times.length : 0;
  }

  get rate() {
    return this.ms && this.plan ? (this.plan.tokens_per_step / this.ms) * 1e3 : 0;
  }

  bar() {
    const steps = this.plan?.steps ?? 0,
      part = steps ? this.done / steps : 0;
    byId("bar").style.width = `${100 * part}%`;
    byId("track").setAttribute("aria-valuenow", Math.floor(100 * part));
    let words = this.status ?? "";
    if (steps) {
      words = `step ${this.done} of ${steps}`;
      if (this.plan.epoch_tokens && this.last)
        words += ` · ${(this.last.tokens / this.plan.epoch_tokens).toFixed(1)} times through the text`;
      if (this.status) words += ` · ${this.status}`;
      else if (this.ms && this.done < steps && !this.over)
        words += ` · ${duration(Math.round((this.ms * (steps - this.done)) / 1e3))} left`;
    }
    put(byId("progress"), words);
    byId("track").setAttribute("aria-valuetext", words);
  }

  // running sets whether the run trains, or has ended.
  running(on) {
    this.over = !on;
    this.bar();
  }

  // saying shows what goes on beside steps; "": nothing.
  saying(status) {
    this.status = status;
    this.bar();
  }

  // piece takes a piece of the text that the model writes.
  piece({ begin, text, step }) {
    const node = byId("sample");
    if (begin) {
      this.text = "";
      put(byId("sample-title"), `What it writes after ${step} steps`);
    }
    this.text += clean(text);
    node.textContent = this.text;
    node.classList.add("caret");
  }

  // wrote takes a whole text.
  wrote({ step, text: raw }, old) {
    const text = clean(raw);
    if (this.texts.length > 0) {
      const { step: at, text: before } = this.texts.at(-1);
      byId("earlier").hidden = false;
      byId("earlier-list").prepend(
        el("div", el("h3", { text: `after ${at} steps` }), el("pre.text", { text: before })),
      );
      while (byId("earlier-list").children.length > mostEarlier) byId("earlier-list").lastChild.remove();
    }
    this.texts = [{ step, text }];
    put(byId("sample-title"), `What it writes after ${step} steps`);
    byId("sample").textContent = text;
    byId("sample").classList.remove("caret");
    if (!old) this.say(`The model wrote a text after ${step} steps.`, 60);
  }

  // line adds a line to the log.
  line(text) {
    this.log.push(text);
    if (this.log.length > mostLog) this.log.splice(0, 100);
    if (byId("inside").open) this.showLog();
  }

  showLog() {
    byId("log").textContent = this.log.join("\n");
    byId("log").scrollTop = byId("log").scrollHeight;
  }
}

function facts(list, rows, more = false) {
  const nodes = rows
    .filter(([, v]) => v)
    .flatMap(([name, value]) => [el("dt", { text: name }), el("dd", { text: String(value) })]);
  if (more) list.append(...nodes);
  else fill(list, nodes);
}

// clean replaces control characters, which have no glyph, with U+FFFD.
export const clean = (text) => text.replace(/[^\P{Cc}\n\t]/gu, "\uFFFD");

const shape = (c) => c && `${c.n_layer} blocks of ${c.n_embd} channels, ${c.n_head} heads, context ${c.block_size}`;
