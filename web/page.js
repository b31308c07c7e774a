// The page: what is shown when, and what the buttons do. The program itself is in a Worker.
import { byId, el, fill, put } from "./parts/dom.js";
import { ago, bytes, count, fixed } from "./parts/format.js";
import { themeButton } from "./parts/theme.js";
import { memoryAdvice, noAdapter, noWebGPU, tooLarge } from "./advice.js";
import { Ask } from "./ask.js";
import { Live } from "./live.js";
import { Program, parts } from "./program.js";
import { Setup } from "./setup.js";

const show = (id, on) => (byId(id).hidden = !on);
const activeKey = "gpt2wgpu-active"; // localStorage: the run that trained when the page was last open
const mostRestarts = 3; // in a row without a new step

// state is what the page knows; job is the program's.
const state = { job: "idle", run: null, stored: [], restarts: 0, gpu: null, paused: false };

const program = new Program(onEvent);
const call = (name, args) => program.call(name, args);
const live = new Live({ say });
const setup = new Setup({ call, start: train });
const ask = new Ask({ call });

// say announces a text to screen readers, at most once per `every` seconds.
let saidAt = 0;
function say(text, every = 0) {
  if (every && Date.now() - saidAt < every * 1e3) return;
  saidAt = Date.now();
  put(byId("spoken"), text);
}

// notice shows lines at the top of the page. A later notice with the same key replaces it; without lines it is removed.
function notice(key, lines, { kind = "", button = null } = {}) {
  document.getElementById(`notice-${key}`)?.remove();
  if (lines.length === 0) return;
  const [first, ...rest] = lines.filter(Boolean);
  byId("notices").append(
    el(
      `div.notice${kind && `.${kind}`}#notice-${key}`,
      { role: kind === "bad" ? "alert" : "status" },
      el("div", el("b", { text: first }), ...rest.map((text) => el("p", { text }))),
      el(
        "div.row",
        button,
        el("button.button.quiet", { type: "button", text: "Close", onclick: () => notice(key, []) }),
      ),
    ),
  );
  if (kind) byId("notices").lastChild.scrollIntoView({ block: "nearest" });
}

function failed(key, error, ...more) {
  notice(key, [...parts(error), ...(tooLarge(error.message) ? memoryAdvice : []), ...more], { kind: "bad" });
}

// confirm asks a question, and returns whether it was answered with yes, and whether the option was ticked.
function confirm({ title, text, yes, option }) {
  put(byId("dialog-title"), title);
  put(byId("dialog-text"), text);
  put(byId("dialog-yes"), yes);
  show("dialog-option", option);
  put(byId("dialog-label"), option ?? "");
  byId("dialog-check").checked = false;
  const dialog = byId("dialog");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener(
      "close",
      () => resolve({ yes: dialog.returnValue === "yes", ticked: byId("dialog-check").checked }),
      { once: true },
    ),
  );
}

const nameOf = (out) => out.split("/").pop();

// The program's events.

function onEvent(e) {
  switch (e.event) {
    case "state":
      state.job = e.job;
      break;
    case "began":
      state.run = e.out;
      remember(e.out);
      put(byId("run-title"), e.out ? nameOf(e.out) : "A run that is not kept");
      live.began(e);
      live.saying("");
      phase("training");
      schedule.begin();
      refresh();
      break;
    case "metrics":
      onRecord(JSON.parse(e.line), e.at);
      break;
    case "text":
      if (e.from === "prompt") ask.piece(e);
      else live.piece(e);
      break;
    case "paused":
      paused(e.on, e.step);
      break;
    case "log":
      onLog(e);
      break;
    case "crash":
      state.job = "idle";
  }
}

function onRecord(m, at) {
  live.record(m);
  if (m.kind === "train") {
    state.restarts = 0;
    if (!state.paused && byId("stop").disabled === false) live.saying("");
    hidden.step(at);
    schedule.step(at);
    if (m.step > 0 && m.step % 50 === 0) say(`Step ${m.step}, loss ${fixed(live.mean, 2)}.`, 45);
  } else {
    schedule.done(m.kind, at);
  }
}

function onLog({ level, message, name }) {
  live.line(`${level === "INFO" ? "" : `${level}: `}${message}`);
  if (name === "compiling") live.saying(message.replace(/^INFO /, ""));
  if (name === "checkpoint") {
    say("A checkpoint was saved.", 120);
    for (const saved of waitingForSave.splice(0)) saved();
  }
}

const waitingForSave = [];

// schedule asks the program for texts and validations by the clock: soon at first, and for a part of the time.
const schedule = {
  begin() {
    const now = Date.now();
    this.next = { sample: now + 30e3, validate: now + 45e3 };
    this.asked = {};
  },
  step(at) {
    if (!this.next) this.begin();
    for (const what of ["sample", "validate"]) {
      if (this.asked[what] || at < this.next[what] || state.paused) continue;
      this.asked[what] = at;
      call("ask", { what }).catch(() => {});
    }
  },
  // done measures how long that took: a text may take a fifth of the time, a validation a tenth.
  done(kind, at) {
    const what = { sample: "sample", val: "validate" }[kind];
    if (!this.next || !what) return;
    const took = this.asked[what] ? at - this.asked[what] : 0;
    delete this.asked[what];
    this.next[what] = at + Math.max(25e3, (what === "sample" ? 4 : 9) * took);
  },
};

// hidden counts the steps of a hidden tab, and reports them when the tab is shown again.
const hidden = {
  step(at) {
    if (this.since && this.last) this.gap = Math.max(this.gap, at - this.last);
    if (this.since) this.steps++;
    this.last = at;
    if (!document.hidden && this.since) this.report();
  },
  change() {
    if (document.hidden) {
      this.since = Date.now();
      this.steps = this.gap = 0;
      this.last = this.since;
      if (training()) call("ask", { what: "checkpoint" }).catch(() => {});
    } else if (this.since && !training()) {
      this.since = 0;
    }
  },
  report() {
    const away = Date.now() - this.since;
    this.since = 0;
    if (away < 20e3 || state.paused) return;
    notice(
      "hidden",
      this.gap > Math.max(20e3, 10 * live.ms)
        ? [
            `The browser held the run for ${Math.round(this.gap / 1e3)} s while this tab was hidden. It goes on now.`,
            "Nothing is lost. A tab in a window of its own, even behind others, is usually not held.",
          ]
        : [`The run went on while this tab was hidden: ${this.steps} steps.`],
    );
  },
};

// Training.

const training = () => state.phase === "training";

// phase shows what goes with it: setup, starting, training, ended.
function phase(to) {
  state.phase = to;
  const busy = to === "starting" || to === "training";
  show("setup", to === "setup");
  for (const id of ["live", "inside"]) show(id, to !== "setup");
  for (const id of ["pause", "stop", "sample-now", "validate-now"]) show(id, busy);
  for (const id of ["pause", "sample-now", "validate-now", "download"]) byId(id).disabled = to === "starting";
  byId("stop").disabled = false;
  for (const id of ["go-on", "new-run"]) show(id, to === "ended");
  show("download", Boolean(state.run));
  const pill = byId("state");
  pill.className = `pill${busy ? " live" : ""}`;
  put(pill, { starting: "starting", training: "training", ended: "ended" }[to] ?? "");
  if (!busy) paused(false);
  byId("load").disabled = busy;
  show("unfinished", to === "setup" && Boolean(state.offered));
  live.running(busy);
  document.title = to === "setup" ? "Train GPT-2 in this tab" : `${byId("run-title").textContent} · gpt2wgpu`;
  table();
  sources();
}

function paused(on, step) {
  byId("pause").disabled = state.phase === "starting";
  if (state.paused === on) return;
  state.paused = on;
  put(byId("pause"), on ? "Go on" : "Pause");
  if (training()) {
    byId("state").className = `pill ${on ? "warn" : "live"}`;
    put(byId("state"), on ? "paused" : "training");
    live.saying(on ? "paused" : "");
    say(on ? `Paused before step ${step}.` : "The run goes on.");
  }
}

// train starts a new run, with an own text's File or the built-in one.
async function train(args, file) {
  let settings = args.settings;
  if (file) {
    try {
      settings = { ...settings, data: (await call("put", { file, name: file.name })).path };
    } catch (e) {
      setup.problem(parts(e).filter(Boolean).join(". "));
      return;
    }
  }
  live.clear();
  put(byId("run-title"), "A new run");
  keepFiles();
  await work("train", { ...args, settings });
}

// work runs a training to its end, and starts it again where the device or the program died.
async function work(name, args) {
  notice("run", []);
  state.run = args.out ?? null;
  phase("starting");
  live.saying("getting the device ready…");
  byId("run-title").focus({ preventScroll: true });
  byId("live").scrollIntoView({ block: "start", behavior: "instant" });
  say("The run starts.");
  let result, error;
  try {
    result = await call(name, args);
  } catch (e) {
    error = e;
  }
  if (error?.name === "DeviceError" || error?.name === "Crash") {
    const again = await recovered(error);
    if (again) return work("resume", { out: again });
  }
  remember(null);
  live.saying("");
  await refresh();
  if (error && !live.last) {
    phase("setup");
    if (error.name === "UsageError") setup.problem(parts(error).filter(Boolean).join(". "));
    else failed("run", error);
    return;
  }
  state.ended = result ?? { out: state.run, step: live.done, steps: live.plan?.steps };
  phase("ended");
  if (error) {
    failed("run", error, state.run ? "The run is kept up to its newest checkpoint." : "");
  } else {
    put(byId("state"), result.done ? "done" : "stopped");
    const more = live.plan ? live.plan.steps : 0;
    put(byId("go-on"), result.done ? `Train ${count(more)} more steps` : "Go on");
    say(result.done ? `Done: ${result.steps} steps.` : `Stopped after ${result.step} steps.`);
  }
}

// recovered makes the program ready again, and returns the run to resume; null: there is none.
async function recovered(error) {
  const [why] = parts(error);
  live.line(`ERROR: ${error.message}`);
  if (error.name === "Crash" && !(await boot())) return null;
  const runs = await call("runs").catch(() => []);
  const run = runs.find(({ out, step }) => out === state.run && step > 0);
  if (!run || state.restarts >= mostRestarts) return null;
  state.restarts++;
  notice(
    "again",
    [
      `${error.name === "Crash" ? "The program" : "The GPU"} stopped: ${why}`,
      `The run goes on from its newest checkpoint, after step ${run.step}.`,
    ],
    { kind: "warn" },
  );
  return run.out;
}

function resume(out, settings) {
  live.clear();
  put(byId("run-title"), nameOf(out));
  return work("resume", { out, settings });
}

function remember(out) {
  try {
    if (out) localStorage.setItem(activeKey, out);
    else localStorage.removeItem(activeKey);
  } catch {
    /* the browser forbids it: no run is offered */
  }
}

function remembered() {
  try {
    return localStorage.getItem(activeKey);
  } catch {
    return null;
  }
}

// keepFiles asks the browser not to remove the runs when space is short.
async function keepFiles() {
  if (await navigator.storage?.persisted?.()) return;
  await navigator.storage?.persist?.().catch(() => false);
  space();
}

// What is kept.

async function refresh() {
  state.stored = await call("runs").catch(() => state.stored);
  setup.offer(state.stored.filter(isModel).map(({ out }) => ({ out, name: nameOf(out) })));
  table();
  sources();
  space();
}

const isModel = ({ kind, out }) => kind === "model" || out.startsWith("/models/");

function table() {
  const busy = state.phase === "starting" || state.phase === "training";
  const rows = state.stored.map((r) => {
    const name = nameOf(r.out),
      model = isModel(r),
      mine = busy && r.out === state.run;
    const button = (text, onclick, off = false) =>
      el("button.button", { type: "button", text, onclick, disabled: off, "aria-label": `${text}: ${name}` });
    const size = r.parameters ? `${count(r.parameters)} parameters` : "";
    const progress = model
      ? "loaded"
      : mine
        ? "trains now"
        : r.step
          ? `step ${r.step} of ${r.steps}`
          : "no checkpoint yet";
    return el(
      "tr",
      el("td", el("b", { text: name }), el("small", { text: [size, about(r)].filter(Boolean).join(" · ") })),
      el("td", { text: progress }),
      el("td.number", { "data-label": "loss", text: fixed(r.loss, 3) }),
      el("td.number", { "data-label": "size", text: bytes(r.bytes) }),
      el(
        "td",
        el(
          "div.row",
          model
            ? button(
                "Train from it",
                () => {
                  setup.choose(r.out);
                  phase("setup");
                  byId("setup").scrollIntoView();
                },
                busy,
              )
            : button("Go on", () => goOn(r), busy || !r.step),
          button("Download", () => download(r.out), !model && !r.step),
          button("Delete", () => remove(r.out), mine),
        ),
      ),
    );
  });
  fill(
    byId("runs"),
    el(
      "thead",
      el(
        "tr",
        ...["name", "progress", "loss", "size", ""].map((text, i) =>
          el(i === 2 || i === 3 ? "th.number" : "th", { text, scope: "col" }),
        ),
      ),
    ),
    el("tbody", ...(rows.length ? rows : [el("tr", el("td.quiet", { text: "No runs yet.", colspan: 5 }))])),
  );
}

function about({ config, modified }) {
  const data = config?.data && config.data !== "sample" ? nameOf(config.data) : "the built-in play";
  const when = modified ? ago((Date.now() - new Date(modified)) / 1e3) : "";
  return [config?.steps ? data : "", when].filter(Boolean).join(" · ");
}

// sources lists what can write a text.
function sources() {
  const list = state.stored
    .filter((r) => state.gpu && (isModel(r) || r.step > 0))
    .map(({ out }) => ({ value: out, name: nameOf(out) }));
  if (training()) list.splice(0, list.length, { value: "", name: "the model in training" }); // which has the device
  ask.offer(list);
}

async function space() {
  const { usage = 0, quota = 0 } = (await navigator.storage?.estimate?.().catch(() => ({}))) ?? {};
  const kept = await navigator.storage?.persisted?.().catch(() => false);
  put(
    byId("space"),
    quota
      ? `${bytes(usage)} used of the ${bytes(quota)} that the browser gives this page. ${
          kept ? "It keeps them until you delete them." : "It may remove them when the disk is full."
        }`
      : "",
  );
}

function goOn(r) {
  resume(r.out, r.step >= r.steps ? { steps: r.step + (r.config?.steps ?? r.steps) } : undefined);
}

async function remove(out) {
  const { yes } = await confirm({
    title: `Delete ${nameOf(out)}?`,
    text: "Its weights and its curve are gone then.",
    yes: "Delete",
  });
  if (!yes) return;
  try {
    await call("remove", { out });
    await call("tidy");
  } catch (e) {
    failed("stored", e);
  }
  if (out === state.run && state.phase === "ended") newRun();
  if (out === state.offered) offer(null);
  await refresh();
}

async function download(out) {
  const model = out.startsWith("/models/");
  const { yes, ticked } = await confirm({
    title: `Download ${nameOf(out)}`,
    yes: "Download",
    text: "A .zip file with the weights and the tokenizer, as Hugging Face's programs and gpt2wgpu read them.",
    option: model ? undefined : "with the optimizer's state, to train on elsewhere: three times the size",
  });
  if (!yes) return;
  notice("download", ["The .zip file is being made…"]);
  try {
    if (training() && out === state.run) await saved();
    const { name, blob } = await call("zip", { model: out, optimizer: ticked });
    const link = el("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    notice("download", []);
    say("The download has begun.");
  } catch (e) {
    notice("download", []);
    failed("stored", e);
  }
}

// saved makes the run in training save, and returns when it has.
async function saved() {
  const done = new Promise((resolve) => waitingForSave.push(resolve));
  await call("ask", { what: "checkpoint" });
  return done;
}

// load reads a .zip or .safetensors file into the models.
async function load(file) {
  notice("load", [`${file.name} is being read…`]);
  try {
    const { path } = await call("put", { file, name: file.name });
    const made = await call("import", { path, name: file.name.replace(/\.(zip|safetensors)$/i, "") });
    await refresh();
    setup.choose(made.path);
    notice("load", [
      `${nameOf(made.path)} is loaded: ${count(made.parameters)} parameters.`,
      "Let it write below, or train from it.",
    ]);
  } catch (e) {
    notice("load", []);
    failed("load", e);
    call("tidy").catch(() => {});
  }
}

function newRun() {
  state.run = null;
  live.clear();
  phase("setup");
  byId("setup").scrollIntoView();
}

function offer(run) {
  state.offered = run?.out ?? null;
  if (run) put(byId("unfinished-text"), `${nameOf(run.out)} stopped after ${run.step} of ${run.steps} steps.`);
  show("unfinished", state.phase === "setup" && Boolean(run));
}

// Buttons.

const on = (id, f) => byId(id).addEventListener("click", f);
on("pause", () => {
  byId("pause").disabled = true; // until the program holds, after the step that it is in
  call("pause", { on: !state.paused }).catch(() => (byId("pause").disabled = false));
});
on("stop", () => {
  byId("stop").disabled = true;
  live.saying("stopping, with a checkpoint…");
  call("ask", { what: "stop" }).catch(() => (byId("stop").disabled = false));
});
on("sample-now", () => call("ask", { what: "sample" }).catch(() => {}));
on("validate-now", () => call("ask", { what: "validate" }).catch(() => {}));
on("go-on", () => {
  const { out, step, steps, done } = state.ended;
  resume(out, done || step >= steps ? { steps: step + steps } : undefined);
});
on("new-run", newRun);
on("download", () => download(state.run));
on("load", () => byId("load-file").click());
on("continue", () => {
  const out = state.offered;
  offer(null);
  resume(out);
});
on("later", () => {
  offer(null);
  remember(null);
});
byId("load-file").addEventListener("change", ({ target }) => {
  if (target.files[0]) load(target.files[0]);
  target.value = "";
});
byId("inside").addEventListener("toggle", () => live.showLog());
document.addEventListener("visibilitychange", () => hidden.change());

// A file that is dropped anywhere: a text to learn from, or a model.
document.addEventListener("dragover", (e) => e.preventDefault());
document.addEventListener("drop", (e) => {
  e.preventDefault();
  const file = e.dataTransfer?.files[0];
  if (!file || state.phase !== "setup") return;
  if (/\.(zip|safetensors)$/i.test(file.name)) load(file);
  else setup.take(file);
});

// The start.

// boot starts the program. It returns whether it runs.
async function boot() {
  try {
    const { kept, why, version } = await program.start();
    put(byId("version"), version ?? "");
    if (!kept)
      notice(
        "kept",
        [
          "This browser keeps no files for this page: a run is lost when the tab closes.",
          `Private windows do that. (${why})`,
        ],
        { kind: "warn" },
      );
    return true;
  } catch (e) {
    if (e.name === "OtherTab") {
      notice("boot", ["Another tab of this browser has this page open.", "Close one of them, then reload this one."], {
        kind: "warn",
        button: el("button.button", { type: "button", text: "Reload", onclick: () => location.reload() }),
      });
    } else if (e.name === "DamagedDisk") {
      notice("boot", ["This page's files in the browser are damaged: no run can be read.", "Nothing was changed."], {
        kind: "bad",
        button: el("button.button", { type: "button", text: "Delete all of it", onclick: erase }),
      });
    } else {
      notice("boot", [`The program cannot start: ${parts(e)[0]}`, parts(e)[1]], { kind: "bad" });
    }
    return false;
  }
}

async function erase() {
  const { yes } = await confirm({
    title: "Delete all that this page keeps?",
    text: "Every run and every model in this browser is gone then.",
    yes: "Delete",
  });
  if (!yes) return;
  try {
    await call("erase");
  } catch (e) {
    notice("boot", [`Not deleted: ${parts(e)[0]}`, "Close other tabs with this page, then reload."], { kind: "bad" });
    return;
  }
  location.reload();
}

async function begin() {
  byId("theme").append(themeButton());
  const gpu = byId("gpu");
  if (!navigator.gpu) {
    put(gpu, "no WebGPU");
    gpu.className = "pill bad";
    notice("gpu", ["This browser has no WebGPU here, which training needs.", ...noWebGPU()], { kind: "bad" });
    if (!globalThis.isSecureContext) return;
  }
  if (!(await boot())) {
    put(gpu, "not started");
    return;
  }
  setup.describe(await call("info"));
  try {
    if (navigator.gpu) {
      state.gpu = await call("device");
      put(gpu, state.gpu.name || "a GPU");
      gpu.className = "pill good";
      gpu.title = [state.gpu.type, state.gpu.driver].filter(Boolean).join(", ");
      if (state.gpu.type === "cpu")
        notice("gpu", [
          "This browser has only software in place of a GPU.",
          "The smallest model learns all the same: about a step a second.",
        ]);
    }
  } catch (e) {
    put(gpu, "no GPU");
    gpu.className = "pill bad";
    notice("gpu", ["This browser has WebGPU, and no GPU for it.", ...noAdapter()], { kind: "bad" });
  }
  byId("train").disabled = !state.gpu;
  phase("setup");
  show("stored", true);
  await refresh();
  const last = state.stored.find(({ out, step, steps }) => out === remembered() && step > 0 && step < steps);
  if (last && state.gpu) offer(last);
}

// For tests and for the console.
globalThis.page = { call, state, live, load, train, setup, hidden };

begin();
