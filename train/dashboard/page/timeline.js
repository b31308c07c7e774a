// The kernels of one step: a lane for each of those that took longest, on one axis of time.
import { el, fill, put } from "./parts/dom.js";
import { significant, tick } from "./parts/format.js";
import { ticks } from "./parts/series.js";

const lanes = 12; // beside that of all others
const laneHeight = 20,
  top = 4,
  bottom = 24;

// kernelOf returns the kernel of a dispatch's label, as the server counts them.
const kernelOf = (label, names) =>
  names.find((n) => label === n || label.startsWith(`${n}/`) || label.startsWith(`${n} `));

export class Timeline {
  constructor(host) {
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.read = el("div.chart-read", { hidden: true, "aria-hidden": "true" });
    this.spoken = el("p.sr", { "aria-live": "polite" });
    this.plot = el(
      "div.chart-plot",
      { tabindex: "0", role: "application", "aria-roledescription": "timeline" },
      this.canvas,
      this.read,
    );
    this.probe = el("span", { hidden: true });
    this.root = el("figure.chart", this.plot, this.spoken, this.probe);
    fill(host, this.root);
    new ResizeObserver(() => this.redraw()).observe(this.plot);
    const recolour = () => this.redraw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
    document.addEventListener("themechange", recolour);
    const at = (event) => this.timeAt(event.clientX - this.plot.getBoundingClientRect().left);
    this.plot.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse" && event.button === 0) this.dragged = [at(event), at(event)];
    });
    this.plot.addEventListener("pointermove", (event) => {
      if (this.dragged) this.dragged[1] = at(event);
      this.select(this.find(at(event)), event.clientX - this.plot.getBoundingClientRect().left);
    });
    window.addEventListener("pointerup", () => {
      if (!this.dragged) return;
      const [a, b] = this.dragged.sort((p, q) => p - q);
      this.dragged = null;
      if (b - a > (this.to - this.from) / 100) [this.from, this.to] = [a, b];
      this.redraw();
    });
    this.plot.addEventListener("pointerleave", () => !this.dragged && this.select(-1));
    this.plot.addEventListener("blur", () => this.select(-1));
    this.plot.addEventListener("dblclick", () => this.showAll());
    this.plot.addEventListener("keydown", (event) => this.key(event));
  }

  // show takes a profile.
  show(profile) {
    let sum = 0;
    const names = profile.kernels.map((k) => k.name);
    // Longer names first: what begins a label may begin another's name too.
    const byLength = [...names].sort((a, b) => b.length - a.length);
    this.names = names.length > lanes + 1 ? [...names.slice(0, lanes), "others"] : names;
    this.parts = profile.dispatches.map(({ label, ms }) => {
      const lane = names.indexOf(kernelOf(label, byLength));
      const part = {
        label,
        ms,
        start: sum,
        lane: lane >= 0 && lane < this.names.length ? lane : this.names.length - 1,
      };
      if (names.length > lanes + 1 && lane >= lanes) part.lane = lanes;
      sum += ms;
      return part;
    });
    this.total = sum;
    this.selected = -1;
    this.plot.style.height = `${top + this.names.length * laneHeight + bottom}px`;
    this.plot.setAttribute(
      "aria-label",
      `${this.parts.length} dispatches in ${significant(sum)} ms. Left and right arrow ` +
        "keys go through them, plus and minus zoom, Escape shows all.",
    );
    this.showAll();
  }

  showAll() {
    [this.from, this.to] = [0, this.total];
    this.redraw();
  }

  redraw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.parts) this.draw();
    });
  }

  colour(name) {
    this.probe.style.color = `var(--${name})`;
    return getComputedStyle(this.probe).color;
  }

  draw() {
    const width = this.plot.clientWidth,
      height = this.plot.clientHeight;
    if (!width) return;
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    const g = this.canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.font = `12px ${getComputedStyle(this.plot).fontFamily}`;
    const most = Math.min(width * 0.36, Math.max(...this.names.map((n) => g.measureText(n).width)));
    this.left = Math.ceil(most) + 12;
    this.width = width - this.left - 10;
    const px = (t) => this.left + ((t - this.from) / (this.to - this.from)) * this.width;
    const [at, step] = ticks(this.from, this.to, Math.max(2, Math.round(this.width / 90)), false);
    g.strokeStyle = this.colour("grid");
    g.fillStyle = this.colour("axis");
    g.textAlign = "center";
    const floor = top + this.names.length * laneHeight;
    for (const t of at) {
      const x = Math.round(px(t)) + 0.5;
      g.beginPath();
      g.moveTo(x, top);
      g.lineTo(x, floor);
      g.stroke();
      g.fillText(`${tick(t, step)}${t === at.at(-1) ? " ms" : ""}`, Math.min(x, width - 24), floor + 16);
    }
    g.textAlign = "right";
    g.textBaseline = "middle";
    g.fillStyle = this.colour("text");
    this.names.forEach((name, i) => {
      let text = name;
      while (text.length > 3 && g.measureText(text).width > most) text = `${text.slice(0, -2)}…`;
      g.fillText(text, this.left - 8, top + (i + 0.5) * laneHeight);
    });
    g.save();
    g.beginPath();
    g.rect(this.left, 0, this.width, floor);
    g.clip();
    const colours = this.names.map((_, i) => this.colour(i === lanes ? "axis" : `c${i % 10}`));
    this.parts.forEach((p, i) => {
      const x = px(p.start),
        w = Math.max(0.75, px(p.start + p.ms) - x - 0.25);
      if (x + w < this.left || x > this.left + this.width) return;
      g.fillStyle = colours[p.lane];
      g.globalAlpha = this.selected < 0 || this.selected === i ? 1 : 0.45;
      g.fillRect(x, top + p.lane * laneHeight + 3, w, laneHeight - 6);
    });
    g.globalAlpha = 0.15;
    if (this.dragged) {
      const [a, b] = this.dragged.map(px);
      g.fillStyle = this.colour("accent");
      g.fillRect(Math.min(a, b), top, Math.abs(a - b), floor - top);
    }
    g.restore();
  }

  timeAt(pixel) {
    return this.from + Math.max(0, Math.min(1, (pixel - this.left) / this.width)) * (this.to - this.from);
  }

  find(time) {
    return this.parts?.findIndex((p) => p.start <= time && time < p.start + p.ms) ?? -1;
  }

  select(index, pixel) {
    if (index === this.selected && !this.dragged) return;
    this.selected = index;
    this.read.hidden = index < 0;
    if (index >= 0) {
      const p = this.parts[index];
      fill(
        this.read,
        el("b", { text: `${significant(p.ms)} ms` }),
        el("span.at", { text: p.label }),
        el("span.at", { text: `${index + 1} of ${this.parts.length}, from ${significant(p.start)} ms` }),
      );
      const width = this.plot.clientWidth,
        own = this.read.offsetWidth;
      const x = pixel ?? this.left + ((p.start - this.from) / (this.to - this.from)) * this.width;
      this.read.style.transform = `translate(${Math.round(x + 14 + own < width ? x + 14 : Math.max(0, x - 14 - own))}px, 8px)`;
    }
    this.redraw();
  }

  key(event) {
    if (!this.parts || event.ctrlKey || event.altKey || event.metaKey) return;
    const go = (to) => {
      const index = Math.max(0, Math.min(this.parts.length - 1, to));
      const p = this.parts[index];
      const span = this.to - this.from;
      if (p.start < this.from || p.start > this.to) {
        this.from = Math.max(0, Math.min(this.total - span, p.start - span / 2));
        this.to = this.from + span;
      }
      this.select(index);
      put(this.spoken, `${p.label}, ${significant(p.ms)} ms`);
    };
    const scale = (factor) => {
      const centre = this.selected >= 0 ? this.parts[this.selected].start : (this.from + this.to) / 2;
      const span = Math.min(this.total, (this.to - this.from) * factor);
      this.from = Math.max(0, Math.min(this.total - span, centre - span / 2));
      this.to = this.from + span;
      this.redraw();
    };
    const far = event.shiftKey ? 10 : 1;
    const action = {
      ArrowLeft: () => go(this.selected - far),
      ArrowRight: () => go(this.selected + far),
      Home: () => go(0),
      End: () => go(this.parts.length - 1),
      "+": () => scale(0.5),
      "=": () => scale(0.5),
      "-": () => scale(2),
      Escape: () => this.showAll(),
      0: () => this.showAll(),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}
