// The page: it keeps what the server sends of the chosen runs, and draws it once a frame at most.
import { Chart } from "./parts/chart.js";
import { bars, byId as $, el, fill, put } from "./parts/dom.js";
import { ago, axisUnit, bytes, count, duration, fixed, significant } from "./parts/format.js";
import { indexAt, smoothSteps } from "./parts/series.js";
import { themeButton } from "./parts/theme.js";
import { Curves } from "./curves.js";
import { Timeline } from "./timeline.js";

const mostColours = 10; // runs that are shown at once
const narrow = matchMedia("(max-width: 63.99rem)"); // where the list of runs is folded away
const gpt2 = [
  ["GPT-2 124M", 0.2955],
  ["GPT-2 350M", 0.3752],
  ["GPT-2 774M", 0.432],
  ["GPT-2 1558M", 0.4889],
]; // acc_norm

const rows = new Map(); // what the server says of each run, by id
const curves = new Map(); // of those that are chosen
const details = new Map(); // by id: {config, value} as it was asked for last
const profiles = new Map();
const choice = readChoice();

// readChoice returns what the address says is to be shown.
function readChoice() {
  const words = new URLSearchParams(location.hash.slice(1));
  const one = (name, of) => (of.includes(words.get(name)) ? words.get(name) : of[0]);
  return {
    runs: (words.get("runs") ?? "").split(",").filter(Boolean).slice(0, mostColours),
    focus: words.get("focus") ?? "",
    x: one("x", ["step", "tokens", "time"]),
    unit: one("unit", ["nats", "bits"]),
    smooth: one("smooth", ["0", "1", "20", "100", "500", "2000"]),
    logX: words.has("logx"),
    logY: words.has("logy"),
    tab: one("tab", ["samples", "kernels", "memory", "settings", "events"]),
  };
}

// keepChoice writes it into the address, where a reload or a bookmark finds it.
function keepChoice() {
  const words = new URLSearchParams({ runs: choice.runs.join(","), focus: choice.focus });
  for (const [name, usual] of [
    ["x", "step"],
    ["unit", "nats"],
    ["smooth", "0"],
    ["tab", "samples"],
  ]) {
    if (choice[name] !== usual) words.set(name, choice[name]);
  }
  if (choice.logX) words.set("logx", "");
  if (choice.logY) words.set("logy", "");
  history.replaceState(null, "", `#${words}`.replaceAll("%2C", ","));
}

// The stream of events. It begins again where it was cut off, and where other runs are chosen.
let source = null,
  retry = 0;

function connect() {
  source?.close();
  clearTimeout(retry);
  const words = new URLSearchParams();
  for (const id of choice.runs) {
    if (!curves.has(id)) curves.set(id, new Curves());
    words.append("run", `${id}@${curves.get(id).at}`);
  }
  for (const id of curves.keys()) {
    if (!choice.runs.includes(id)) curves.delete(id);
  }
  const own = (source = new EventSource(`events?${words}`));
  own.addEventListener("open", () => live("live", "live"));
  own.addEventListener("runs", (event) => takeRows(JSON.parse(event.data)));
  own.addEventListener("lines", (event) => {
    const piece = JSON.parse(event.data);
    curves.get(piece.id)?.apply(piece);
    redraw();
  });
  own.addEventListener("error", () => {
    own.close();
    if (own !== source) return;
    live("warn", "not connected, trying again");
    retry = setTimeout(connect, 1500);
  });
}

function live(kind, text) {
  $("live").className = `pill ${kind}`;
  put($("live"), text);
}

function takeRows({ rows: changed, gone, whole, dirs }) {
  if (whole) rows.clear();
  for (const row of changed) rows.set(row.id, row);
  for (const id of gone) rows.delete(id);
  if (!choice.runs.some((id) => rows.has(id)) && rows.size) {
    const list = sorted();
    const best =
      list.find((r) => r.first) ??
      list.find((r) => r.state === "running") ??
      list.reduce((a, b) => (a.changed >= b.changed ? a : b));
    choose([best.id], best.id);
  } else if (!choice.runs.includes(choice.focus)) {
    choice.focus = choice.runs[0] ?? "";
  }
  $("layout").hidden = rows.size === 0;
  $("nothing").hidden = rows.size > 0;
  if (!rows.size && dirs)
    put(
      $("nothing"),
      `No runs yet in ${dirs.join(", ")}. They appear here as soon as there are some; ` + "gpt2wgpu train begins one.",
    );
  redraw();
}

const sorted = () => [...rows.values()].sort((a, b) => a.order - b.order);
const shown = () =>
  choice.runs
    .filter((id) => rows.has(id) && curves.has(id))
    .map((id) => ({ row: rows.get(id), curves: curves.get(id), of: colourOf(id) }));

// Colours stay with a run for as long as it is shown.
const colours = new Map();

function colourOf(id) {
  if (!colours.has(id)) {
    for (const other of [...colours.keys()]) {
      if (!choice.runs.includes(other)) colours.delete(other);
    }
    const taken = [...colours.values()];
    let n = 0;
    while (taken.includes(n)) n++;
    colours.set(id, n);
  }
  return colours.get(id);
}

function choose(ids, focus) {
  const before = choice.runs.join();
  choice.runs = ids.slice(-mostColours);
  choice.focus = choice.runs.includes(focus) ? focus : (choice.runs[0] ?? "");
  keepChoice();
  if (choice.runs.join() !== before) connect();
  redraw();
}

let frame = 0;

function redraw() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    draw();
  });
}

function draw() {
  if (!rows.size) return;
  drawRuns();
  drawNow();
  drawCharts();
  drawCompare();
  drawAbout();
}

// What a state looks like.
const stateKinds = { running: "live", finished: "good", stopped: "", "broke off": "warn", "no steps": "" };
const pill = (state) => el(`span.pill${stateKinds[state] ? `.${stateKinds[state]}` : ""}`, { text: state });
const stepsOf = (row) =>
  row.steps && row.step < row.steps
    ? `${row.step.toLocaleString("en")} of ${row.steps.toLocaleString("en")} steps`
    : `${row.step.toLocaleString("en")} steps`;
const since = (row) => ago((Date.now() - Date.parse(row.changed)) / 1e3);

// The list of runs.
const items = new Map();

function drawRuns() {
  const list = sorted();
  put($("shown"), list.length === 1 ? "" : `${choice.runs.length} of ${list.length} shown`);
  for (const [id, item] of items) {
    if (!rows.has(id)) {
      item.root.remove();
      items.delete(id);
    }
  }
  list.forEach((row, i) => {
    const item = items.get(row.id) ?? newItem(row.id);
    if ($("runs").children[i] !== item.root) $("runs").insertBefore(item.root, $("runs").children[i] ?? null);
    const chosen = choice.runs.includes(row.id);
    item.check.checked = chosen;
    item.check.disabled = !chosen && choice.runs.length >= mostColours;
    item.check.style.accentColor = chosen ? `var(--c${colourOf(row.id)})` : "";
    item.check.setAttribute("aria-label", `Show ${row.label}`);
    put(item.name, row.label);
    if (item.state.textContent !== row.state) item.state.replaceWith((item.state = pill(row.state)));
    item.root.classList.toggle("current", row.id === choice.focus);
    item.name.setAttribute("aria-current", String(row.id === choice.focus));
    const words = [row.best_val_loss === null ? null : `val ${fixed(row.best_val_loss)}`, since(row)];
    put(item.meta, [stepsOf(row), ...words].filter(Boolean).join(" · "));
    item.track.hidden = !(row.steps > 0) || row.state === "finished";
    item.bar.style.width = `${row.steps ? Math.min(100, (100 * row.step) / row.steps) : 0}%`;
    item.bar.style.background = chosen ? `var(--c${colourOf(row.id)})` : "var(--axis)";
  });
}

function newItem(id) {
  const item = {
    check: el("input", { type: "checkbox" }),
    name: el("button", { type: "button" }),
    state: pill(""),
    meta: el("div.meta"),
    bar: el("span.bar"),
  };
  item.track = el("span.track", item.bar);
  item.check.addEventListener("change", () => {
    choose(
      item.check.checked ? [...choice.runs, id] : choice.runs.filter((one) => one !== id),
      item.check.checked && !choice.focus ? id : choice.focus,
    );
  });
  item.name.addEventListener("click", () =>
    choose(choice.runs.includes(id) ? choice.runs : choice.runs.length <= 1 ? [id] : [...choice.runs, id], id),
  );
  item.root = el("li.run", item.check, item.name, item.state, item.meta, item.track);
  items.set(id, item);
  return item;
}

// How the run in focus stands.
const now = {};

function drawNow() {
  const row = rows.get(choice.focus),
    c = curves.get(choice.focus);
  $("now").hidden = !row || !c;
  if (!row || !c) return;
  if (!now.name) {
    Object.assign(now, {
      name: el("h2#now-name"),
      state: pill(""),
      words: el("span.quiet"),
      bar: el("span.bar"),
      facts: el("dl.facts-row"),
      trouble: el("div.stack"),
    });
    now.track = el("span.track", { role: "progressbar", "aria-label": "Steps done", "aria-valuemin": "0" }, now.bar);
    fill(
      $("now"),
      el("div.spread", el("div.row", now.name, (now.pill = el("span", now.state))), now.words),
      now.track,
      now.trouble,
      now.facts,
    );
  }
  document.title = `${row.label}: ${Number.isFinite(row.loss) ? significant(row.loss) : row.state} – gpt2wgpu`;
  put(now.name, row.label);
  if (now.pill.textContent !== row.state) fill(now.pill, pill(row.state));
  const part = row.steps ? Math.min(1, row.step / row.steps) : 0;
  const running = row.state === "running";
  const left = ((row.steps - row.step) * c.mean("ms", 100)) / 1e3;
  put(
    now.words,
    [
      row.steps ? `${(100 * part).toFixed(part < 0.1 ? 1 : 0)}% of ${row.steps.toLocaleString("en")} steps` : "",
      running && left > 0 ? `${duration(left)} left` : running ? "" : `last change ${since(row)}`,
    ]
      .filter(Boolean)
      .join(" · "),
  );
  now.track.hidden = !row.steps;
  now.track.setAttribute("aria-valuemax", row.steps);
  now.track.setAttribute("aria-valuenow", row.step);
  now.bar.style.width = `${100 * part}%`;
  if (now.trouble.dataset.of !== JSON.stringify(row.trouble ?? [])) {
    now.trouble.dataset.of = JSON.stringify(row.trouble ?? []);
    fill(
      now.trouble,
      (row.trouble ?? []).map((text) => el("p.notice.warn", { text })),
    );
  }
  const { best } = c,
    n = c.step.length;
  const score = c.hellaswag.at(-1);
  const bits = (loss) =>
    row.bytes_per_token > 0 && Number.isFinite(loss) ? fixed(loss / row.bytes_per_token / Math.LN2, 3) : null;
  const loss = n ? c.lossAround(n - 1, smoothSteps(n)) : NaN;
  facts(
    now.facts,
    [
      ["step", row.step.toLocaleString("en")],
      ["training loss", fixed(loss), bits(loss) && `${bits(loss)} bits/byte`],
      [
        "best validation",
        fixed(best?.loss),
        best && (bits(best.loss) ? `${bits(best.loss)} bits/byte` : `step ${best.step}`),
      ],
      score ? ["HellaSwag", fixed(score.acc_norm), "GPT-2: 0.2955"] : null,
      ["learning rate", n ? significant(c.lr.data[n - 1]) : "–"],
      ["gradient norm", n ? significant(c.mean("grad_norm", 20), 3) : "–"],
      ["tokens/s", row.tokens_per_s ? count(row.tokens_per_s) : "–"],
      ["tokens", count(row.tokens)],
      ["time in steps", duration(row.seconds)],
      row.parameters ? ["parameters", count(row.parameters)] : null,
      row.restarts ? ["restarts", String(row.restarts)] : null,
    ].filter(Boolean),
  );
}

// facts shows names with values, and changes only the text of what is there.
function facts(list, wanted) {
  if (list.children.length !== wanted.length) {
    fill(
      list,
      wanted.map(() => el("div", el("dt"), el("dd", el("span"), el("small")))),
    );
  }
  wanted.forEach(([name, value, small], i) => {
    const [dt, dd] = list.children[i].children;
    put(dt, name);
    put(dd.children[0], value);
    put(dd.children[1], small || "");
  });
}

// The curves.
const charts = {};

function buildCharts() {
  const make = (name, options) => {
    const host = el("div");
    $("charts").append(host);
    charts[name] = Object.assign(new Chart(host, { empty: "no steps yet", ...options }), { host });
  };
  make("loss", { title: "Loss", height: 380 });
  make("grad_norm", { title: "Gradient norm", y: "before clipping", height: 230, legend: false });
  make("lr", { title: "Learning rate", height: 230, legend: false });
  make("tokens_per_s", { title: "Speed", y: "tokens per second", height: 230, legend: false });
  make("hellaswag", { title: "HellaSwag", y: "acc_norm; 0.25 is guessing", height: 230, legend: false });
  buildControls();
}

function buildControls() {
  const radios = (name, legend, of) =>
    el(
      "fieldset.choice",
      el("legend", { text: legend }),
      ...Object.entries(of).map(([value, text]) =>
        el(
          "label",
          el("input", {
            type: "radio",
            name,
            value,
            checked: choice[name] === value,
            onchange: () => set(name, value),
          }),
          el("span", { text }),
        ),
      ),
    );
  const check = (name, text) =>
    el(
      "label.check",
      el("input", { type: "checkbox", checked: choice[name], onchange: (event) => set(name, event.target.checked) }),
      text,
    );
  const set = (name, value) => {
    choice[name] = value;
    keepChoice();
    redraw();
  };
  const smoothing = el(
    "select",
    { onchange: (event) => set("smooth", event.target.value) },
    ...[
      ["0", "auto"],
      ["1", "none"],
      ["20", "20 steps"],
      ["100", "100 steps"],
      ["500", "500 steps"],
      ["2000", "2,000 steps"],
    ].map(([value, text]) => el("option", { value, text, selected: choice.smooth === value })),
  );
  const controls = $("controls");
  controls.addEventListener("submit", (event) => event.preventDefault());
  fill(
    controls,
    radios("x", "Horizontal axis", { step: "Steps", tokens: "Tokens", time: "Time" }),
    radios("unit", "Unit of losses", { nats: "Nats/token", bits: "Bits/byte" }),
    el("label.inline", "Smoothing", smoothing),
    check("logX", "log x"),
    check("logY", "log y"),
  );
}

function drawCharts() {
  if (!charts.loss) buildCharts();
  const list = shown(),
    lone = list.length === 1;
  const longest = Math.max(0, ...list.map((one) => one.curves.end(choice.x)));
  const { label: x, divide } = axisUnit(choice.x, longest);
  const smooth = Number(choice.smooth);
  const common = { x, divide, smooth, logX: choice.logX };
  const factorOf = (row) =>
    choice.unit === "nats" ? 1 : row.bytes_per_token > 0 ? 1 / row.bytes_per_token / Math.LN2 : NaN;
  const losses = [],
    left = [];
  for (const { row, curves: c, of } of list) {
    const factor = factorOf(row);
    if (Number.isNaN(factor)) {
      left.push(row.label);
      continue;
    }
    losses.push({
      id: row.id,
      name: lone ? "training" : row.label,
      of,
      x: c.x(choice.x),
      y: c.lossTimes(factor),
      smooth: true,
    });
    if (c.val.length) {
      losses.push({
        id: `${row.id} val`,
        name: lone ? "validation" : `${row.label}, validation`,
        unlisted: !lone,
        of: lone ? (of + 1) % 10 : of,
        bare: true,
        x: c.val.map((v) => c.place(choice.x, v.step)),
        y: c.val.map((v) => (v.loss ?? NaN) * factor),
      });
    }
  }
  const unknown = `, which is not known for ${left.join(", ")}`;
  change(
    charts.loss,
    {
      ...common,
      y: choice.unit === "nats" ? "nats per token" : `bits per byte of the text${left.length ? unknown : ""}`,
      logY: choice.logY,
      legend: lone || narrow.matches,
      empty: left.length ? "the bytes of the tokens are not known" : "no steps yet",
    },
    losses,
  );
  for (const name of ["grad_norm", "lr", "tokens_per_s"]) {
    change(
      charts[name],
      { ...common, logY: choice.logY && name === "grad_norm" },
      list.map(({ row, curves: c, of }) => ({
        id: row.id,
        name: row.label,
        of,
        x: c.x(choice.x),
        y: c[name],
        smooth: name !== "lr",
      })),
    );
  }
  const scored = list.filter((one) => one.curves.hellaswag.length);
  charts.hellaswag.host.hidden = scored.length === 0;
  const best = Math.max(0, ...scored.flatMap((one) => one.curves.hellaswag.map((h) => h.acc_norm)));
  const levels = gpt2
    .filter((_, i) => i === 0 || gpt2[i - 1][1] < best)
    .map(([name, y]) => ({ name: `${name} (${y.toFixed(4)})`, y }));
  change(
    charts.hellaswag,
    { ...common, levels },
    scored.map(({ row, curves: c, of }) => ({
      id: row.id,
      name: row.label,
      of,
      marked: true,
      x: c.hellaswag.map((h) => c.place(choice.x, h.step)),
      y: c.hellaswag.map((h) => h.acc_norm),
    })),
  );
}

function change(chart, options, series) {
  const text = JSON.stringify(options);
  if (chart.had !== text) {
    chart.had = text;
    chart.update(options);
  }
  chart.set(series);
}

// ask returns what the server has of a run, and asks for it where that has changed.
function ask(cache, id, path, version) {
  const had = cache.get(id);
  if (had?.version !== version) {
    const entry = { version, value: had?.value };
    cache.set(id, entry);
    fetch(path)
      .then(async (answer) => {
        entry.error = answer.ok ? null : await answer.text();
        entry.value = answer.ok ? await answer.json() : null;
        redraw();
      })
      .catch(() => {
        if (cache.get(id) === entry) cache.delete(id); // asked again with the next change
      });
  }
  return cache.get(id);
}

const detailsOf = (row) => ask(details, row.id, `run/${row.id}`, row.config)?.value;

// table makes a table of rows of cells, the first of which are its head.
function table(head, body) {
  const cell = (what, c, i) => el(i ? `${what}.number` : what, c);
  return el(
    "div.scroll",
    { tabindex: "0", role: "region", "aria-label": head[0] },
    el(
      "table.rows",
      el("thead", el("tr", ...head.map((c, i) => cell("th", c, i)))),
      el("tbody", ...body.map((r) => el("tr", ...r.map((c, i) => cell("td", c, i))))),
    ),
  );
}

const named = ({ row, of }) => {
  const key = el("span.key");
  key.style.background = `var(--c${of})`;
  return el("span.named", key, row.label);
};

// The comparison of the chosen runs.
let compared = "";

function drawCompare() {
  const list = shown();
  $("compare").hidden = list.length < 2;
  if (list.length < 2) return;
  const known = list.map(({ row }) => detailsOf(row));
  const by = choice.x === "time" ? "time" : "tokens";
  const state = JSON.stringify([
    list.map(({ row, curves: c }) => [
      row.label,
      row.bytes_per_token,
      c.val.length,
      c.hellaswag.length,
      c.more ? 0 : Math.floor(c.done / Math.max(1, Math.floor(c.done / 200))),
    ]),
    by,
    choice.runs,
    known.map((k) => !!k),
    list.map(({ row }) => row.config),
  ]);
  if (state === compared) return;
  compared = state;
  const bits = (row, loss) =>
    row.bytes_per_token > 0 && loss !== null ? fixed(loss / row.bytes_per_token / Math.LN2) : "–";
  const scores = list.some((one) => one.curves.hellaswag.length);
  const stand = table(
    ["Run", "Steps", "Tokens", "Time", "Loss", "Best val.", "Bits/byte", ...(scores ? ["HellaSwag"] : []), "Tokens/s"],
    list.map((one) => {
      const { row, curves: c } = one,
        n = c.step.length;
      return [
        named(one),
        c.done.toLocaleString("en"),
        count(c.tokensDone),
        duration(c.seconds),
        n ? fixed(c.lossAround(n - 1, smoothSteps(n))) : "–",
        fixed(c.best?.loss),
        bits(row, c.best?.loss ?? null),
        ...(scores ? [fixed(c.hellaswag.at(-1)?.acc_norm)] : []),
        row.tokens_per_s ? count(row.tokens_per_s) : "–",
      ];
    }),
  );
  fill(
    $("compare"),
    el("h2#compare-title", { text: "Comparison" }),
    stand,
    equalPlaces(list, by),
    differences(list, known),
  );
}

// equalPlaces shows the losses after equal tokens or equal time.
function equalPlaces(list, by) {
  const end = Math.min(...list.map((one) => one.curves.end(by)));
  if (!(end > 0)) return null;
  const places = [0.125, 0.25, 0.5, 0.75, 1].map((part) => part * end);
  const title = by === "time" ? "Loss at equal time in steps" : "Loss at equal tokens";
  return el(
    "div",
    el("h3", { text: title }),
    table(
      ["Run", ...places.map((p) => (by === "time" ? duration(p) : count(p)))],
      list.map((one) => [
        named(one),
        ...places.map((place) => {
          const { curves: c } = one,
            x = c.x(by).view();
          const n = indexAt(x, place * (1 + 1e-9)) - (c.end(by) > place * (1 + 1e-9) ? 2 : 1); // the last step that had ended there
          return n >= 0 ? fixed(c.lossAround(n, smoothSteps(c.step.length))) : "–";
        }),
      ]),
    ),
  );
}

// plain prints a setting.
function plain(value) {
  if (typeof value === "number") return String(Number(value.toPrecision(10)));
  return typeof value === "string" ? value || "–" : JSON.stringify(value ?? null);
}

// differences shows the settings that are not the same in all runs.
function differences(list, known) {
  if (known.some((k) => !k)) return null;
  const value = (k, name) => plain(k.settings.find((s) => s.name === name)?.value);
  const names = [...new Set(known.flatMap((k) => k.settings.map((s) => s.name)))].filter(
    (name) => name !== "out" && new Set(known.map((k) => value(k, name))).size > 1,
  );
  const title = el("h3", { text: "Settings that differ" });
  if (!names.length) return el("div", title, el("p.quiet", { text: "None: all settings are the same." }));
  return el(
    "div",
    title,
    table(
      ["Setting", ...list.map(named)],
      names.map((name) => [el("span.mono", { text: name }), ...known.map((k) => value(k, name))]),
    ),
  );
}

// All else of the run in focus.
const tabs = { samples: "Samples", kernels: "Kernels", memory: "Memory", settings: "Settings", events: "Events" };
const about = { shows: "" };

function drawAbout() {
  const row = rows.get(choice.focus),
    c = curves.get(choice.focus);
  $("about").hidden = !row || !c;
  if (!row || !c) return;
  if (!about.body) {
    about.body = el("div#panel.stack");
    fill(
      $("about"),
      el(
        "fieldset.choice",
        el("legend", { text: "What to show of this run" }),
        ...Object.entries(tabs).map(([value, text]) =>
          el(
            "label",
            el("input", {
              type: "radio",
              name: "tab",
              value,
              checked: choice.tab === value,
              onchange: () => {
                choice.tab = value;
                keepChoice();
                redraw();
              },
            }),
            el("span", { text }),
          ),
        ),
      ),
      about.body,
    );
  }
  const draw = {
    samples: drawSamples,
    kernels: drawKernels,
    memory: drawMemory,
    settings: drawSettings,
    events: drawEvents,
  };
  draw[choice.tab](row, c);
}

// once fills the panel where what it shows is another than before.
function once(state, make) {
  const text = JSON.stringify([choice.tab, choice.focus, state]);
  if (about.shows === text) return;
  about.shows = text;
  fill(about.body, make());
}

const nothing = (text) => el("p.quiet", { text });

let allSamples = "";

function drawSamples(row, c) {
  const most = allSamples === row.id ? Infinity : 3;
  const newest = [...c.sample].reverse();
  once([newest.length, newest[0]?.step, most === Infinity], () =>
    newest.length === 0
      ? [nothing("No samples yet: --sample-every N has the model write a text every N steps.")]
      : [
          ...newest
            .slice(0, most)
            .map((s) =>
              el(
                "div",
                el("h3.quiet", { text: `after ${s.step.toLocaleString("en")} steps` }),
                el("pre.text", { text: s.text }),
              ),
            ),
          newest.length > most
            ? el("button.button", {
                type: "button",
                text: `Show all ${newest.length}`,
                onclick: () => {
                  allSamples = row.id;
                  redraw();
                },
              })
            : null,
        ],
  );
}

function drawKernels(row) {
  const entry = row.profile ? ask(profiles, row.id, `run/${row.id}/profile`, row.profile) : null;
  const p = entry?.value;
  once([row.profile, !!p, entry?.error], () => {
    if (!p) {
      return [
        nothing(
          entry?.error ??
            (row.profile
              ? "Reading the profile …"
              : "This run has no profile: gpt2wgpu train --profile times every kernel of one step."),
        ),
      ];
    }
    const total = p.kernels.reduce((sum, k) => sum + k.ms, 0);
    const host = el("div"),
      list = el("div");
    const most = 14;
    const rest = p.kernels.slice(most).reduce((sum, k) => sum + k.ms, 0);
    bars(list, [
      ...p.kernels.slice(0, most).map((k, i) => ({
        name: k.name,
        share: k.ms / total,
        of: i < 12 ? i : undefined,
        value: `${significant(k.ms, 3)} ms · ${((100 * k.ms) / total).toFixed(1)}% · ${k.count}× · ${k.of_peak.toFixed(2)} of peak`,
      })),
      ...(rest > 0 ? [{ name: "others", share: rest / total, value: `${significant(rest, 3)} ms` }] : []),
    ]);
    if (p.dispatches?.length) {
      about.timeline ??= new Timeline(host);
      fill(host, about.timeline.root);
      about.timeline.show(p);
    }
    const peak = p.peak.fma_gflops
      ? `; peak ${significant(p.peak.fma_gflops)} GFLOP/s, ${significant(p.peak.copy_gb_s, 3)} GB/s`
      : "";
    return [nothing(`One step of ${significant(total)} ms: ${p.step}, on ${p.device}${peak}`), host, list];
  });
}

function drawMemory(row) {
  const d = detailsOf(row);
  once([row.config, !!d], () => {
    const parts = (d?.memory ?? []).filter((m) => m.bytes > 0).sort((a, b) => b.bytes - a.bytes);
    if (!parts.length) return [nothing(d ? "The memory plan of this run is not known." : "Reading the settings …")];
    const total = parts.reduce((sum, m) => sum + m.bytes, 0);
    const list = el("div");
    bars(
      list,
      parts.map((m, i) => ({
        name: m.role,
        share: m.bytes / total,
        of: i,
        value: `${bytes(m.bytes)} · ${((100 * m.bytes) / total).toFixed(1)}%`,
      })),
    );
    return [nothing(`${bytes(total)} of device memory${row.device ? ` on ${row.device}` : ""}`), list];
  });
}

function drawSettings(row) {
  const d = detailsOf(row);
  once([row.config, !!d], () => {
    if (!d?.settings.length) return [nothing(d ? "The settings of this run are not known." : "Reading the settings …")];
    return [
      nothing([row.name, row.device, row.version && `gpt2wgpu ${row.version}`].filter(Boolean).join(" · ")),
      el(
        "dl.settings",
        ...d.settings.map(({ name, value }) =>
          el("div", el("dt", { text: name }), el("dd.mono", { text: plain(value) })),
        ),
      ),
    ];
  });
}

function drawEvents(row, c) {
  const d = detailsOf(row);
  once([row.config, !!d, c.val.length, c.restart.length, c.hellaswag.length, row.trouble], () => {
    const events = [];
    let best = Infinity;
    for (const v of c.val) {
      const text = `validation: loss ${fixed(v.loss)}${v.bits_per_byte ? `, ${fixed(v.bits_per_byte)} bits per byte` : ""}`;
      events.push([v.step, text + (v.loss < best ? ", the best so far" : "")]);
      best = Math.min(best, v.loss ?? Infinity);
    }
    for (const h of c.hellaswag) events.push([h.step, `HellaSwag: acc_norm ${fixed(h.acc_norm)} on ${h.n} questions`]);
    for (const r of c.restart) events.push([r.step, `training was started again: ${r.reason}`, "warn"]);
    for (const k of d?.checkpoints ?? []) {
      events.push([
        k.step,
        `checkpoint, ${new Date(k.time).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}`,
      ]);
    }
    events.sort((a, b) => b[0] - a[0]);
    const log = el(
      "ol.log",
      { tabindex: "0", "aria-label": "What happened" },
      ...(row.trouble ?? []).map((text) => el("li", el("span.at", { text: "now" }), el("span.warn", { text }))),
      ...events
        .slice(0, 200)
        .map(([step, text, kind]) =>
          el(
            "li",
            el("span.at", { text: `step ${step.toLocaleString("en")}` }),
            el(kind ? `span.${kind}` : "span", { text }),
          ),
        ),
    );
    return [
      el(
        "div.two",
        el("div", el("h3", { text: "What happened" }), events.length ? log : nothing("Nothing yet.")),
        el(
          "div.stack",
          el("h3", { text: "To go on" }),
          ...(d?.commands ?? []).map((k) =>
            el("div", el("div.quiet", { text: k.name }), el("pre.text", { text: k.value })),
          ),
        ),
      ),
      d?.crash
        ? el("div", el("h3", { text: "What crashed processes have printed" }), el("pre.text.crash", { text: d.crash }))
        : null,
    ];
  });
}

$("tools").append(themeButton());
$("side").open = !narrow.matches;
narrow.addEventListener("change", () => {
  $("side").open = !narrow.matches;
  redraw();
});
addEventListener("hashchange", () => {
  const had = choice.runs.join();
  Object.assign(choice, readChoice());
  if (choice.runs.join() !== had) connect();
  buildControlsAnew();
  redraw();
});

function buildControlsAnew() {
  if (charts.loss) buildControls();
  for (const input of document.querySelectorAll('input[name="tab"]')) input.checked = input.value === choice.tab;
}

setInterval(redraw, 20000); // "5 min ago"
connect();
