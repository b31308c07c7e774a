// The form of a new run: which text, which model, which settings, and what that needs.
import { byId, el, fill, put } from "./parts/dom.js";
import { bytes, count } from "./parts/format.js";
import { parts } from "./program.js";

// What the page offers: presets of the program with settings of its own.
const offers = [
  {
    id: "tiny",
    name: "Tiny",
    text: "Reads single letters. Learns in minutes, also without a GPU.",
    preset: "tiny",
    settings: {},
  },
  {
    id: "small",
    name: "Small",
    text: "Also single letters, with words in view. For a real GPU.",
    preset: "tiny",
    settings: {
      n_layer: 6,
      n_head: 6,
      n_embd: 384,
      block_size: 256,
      seq_len: 256,
      batch_size: 16,
      steps: 2000,
      lr: 1e-3,
      min_lr: 1e-4,
      warmup_steps: 100,
    },
  },
  {
    id: "gpt2-124m",
    name: "GPT-2 124M",
    text: "The real thing, from random weights. For a large GPU and a long text.",
    preset: "first-steps",
    settings: {
      steps: 1000,
      seq_len: 128,
      decay: "matrices",
      weight_decay: 0.1,
      beta2: 0.95,
      grad_clip: 1,
      warmup_steps: 50,
    },
  },
];

// Settings that a user may change; what is left empty is the model's own.
const fields = [
  { name: "steps", label: "Steps", min: 1 },
  { name: "batch_size", label: "Sequences a step", min: 1 },
  { name: "seq_len", label: "Tokens a sequence", min: 1 },
  { name: "lr", label: "Peak learning rate", min: 0, step: "any" },
  {
    name: "dtype",
    label: "Numbers",
    options: [
      ["", "32 bits"],
      ["bf16", "bf16: 16 bits, less memory"],
    ],
  },
  {
    name: "recompute",
    label: "Activations",
    options: [
      ["", "kept"],
      ["gelu", "GELU's computed again"],
      ["block", "blocks computed again: least memory"],
    ],
  },
  { name: "seed", label: "Seed", min: 0 },
  { name: "save_minutes", label: "Minutes between saves", min: 0, step: "any", value: 1 },
];

export class Setup {
  // start gets the arguments of the program's call train, and the own text's File or null.
  constructor({ call, start }) {
    Object.assign(this, { call, start, file: null, chosen: "tiny", models: [] });
    fill(
      byId("settings"),
      fields.map((f) => this.field(f)),
    );
    byId("form").addEventListener("submit", (e) => {
      e.preventDefault();
      this.submit();
    });
    byId("form").addEventListener("input", () => this.changed());
    byId("choose").addEventListener("click", () => byId("file").click());
    byId("file").addEventListener("change", ({ target }) => {
      if (target.files[0]) this.take(target.files[0]);
      target.value = "";
    });
    const drop = byId("drop");
    for (const type of ["dragenter", "dragover"]) drop.addEventListener(type, () => drop.classList.add("over"));
    for (const type of ["dragleave", "drop"]) drop.addEventListener(type, () => drop.classList.remove("over"));
  }

  field({ name, label, options, value, ...more }) {
    const id = `set-${name}`;
    const input = options
      ? el("select", { id, name }, ...options.map(([v, text]) => el("option", { value: v, text })))
      : el("input", { id, name, type: "number", inputmode: "decimal", value, ...more });
    return el("div.field", el("label", { for: id, text: label }), input);
  }

  // describe gets the program's presets: the settings that a field has where it is left empty.
  describe({ presets, settings }) {
    this.presets = Object.fromEntries(presets.map(({ name, config }) => [name, config]));
    for (const { name, usage } of settings) byId(`set-${name}`)?.setAttribute("title", usage.replaceAll("`", ""));
    this.offer([]);
  }

  // offer shows the models: the page's own, and those of models, which were loaded: {out, name}.
  offer(models) {
    this.models = [
      ...offers,
      ...models.map(({ out, name }) => ({
        id: out,
        name,
        text: "Loaded: goes on from these weights.",
        preset: "tiny",
        settings: { init: out, tokenizer: "" },
      })),
    ];
    if (!this.models.some(({ id }) => id === this.chosen)) this.chosen = "tiny";
    fill(
      byId("models"),
      this.models.map(({ id, name, text }) =>
        el(
          "label.option",
          el("input", { type: "radio", name: "model", value: id, checked: id === this.chosen }),
          el("span", el("b", { text: name }), el("small", { text })),
        ),
      ),
    );
    this.changed();
  }

  // take makes a file the text to learn from.
  take(file) {
    this.file = file;
    byId("own").checked = true;
    put(byId("own-text"), `${file.name}, ${bytes(file.size)}`);
    this.changed();
  }

  choose(id) {
    this.chosen = id;
    this.offer(this.models.filter((m) => !offers.includes(m)).map(({ id: out, name }) => ({ out, name })));
  }

  get model() {
    return this.models.find(({ id }) => id === this.chosen);
  }

  // values returns the run's settings that are not the preset's.
  values() {
    const values = { ...this.model.settings };
    for (const { name, options } of fields) {
      const { value } = byId(`set-${name}`);
      if (value !== "") values[name] = options ? value : Number(value);
    }
    const steps = values.steps ?? this.presets[this.model.preset].steps;
    // The page asks for texts and validations by the clock; these come at the end.
    return {
      data: "sample",
      val_data: "",
      val_fraction: 0.1,
      val_steps: 5,
      ...values,
      val_every: steps,
      sample_every: steps,
    };
  }

  changed() {
    const chosen = document.querySelector("input[name=model]:checked");
    if (!chosen) return;
    this.chosen = chosen.value;
    byId("choosing").hidden = !byId("own").checked;
    const config = { ...this.presets[this.model.preset], ...this.model.settings };
    for (const { name, options, value } of fields) {
      if (!options && value === undefined) byId(`set-${name}`).placeholder = config[name];
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.plan(), 250);
  }

  // plan shows what the run needs.
  async plan() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    let text = "",
      problem = "";
    try {
      const {
        parameters,
        bytes: memory,
        checkpoint_bytes: saved,
        config,
      } = await this.call("plan", {
        preset: this.model.preset,
        settings: this.values(),
      });
      text =
        `${count(parameters)} parameters, ${count(config.steps)} steps · ${bytes(memory)} on the GPU · ` +
        `${bytes(saved)} a checkpoint`;
    } catch (e) {
      if (e.name === "Busy" || e.name === "Crash") return;
      problem = parts(e).filter(Boolean).join(". ");
    }
    if (turn !== this.turn) return;
    put(byId("plan"), text);
    this.problem(problem);
  }

  problem(text) {
    put(byId("problem"), text);
    byId("problem").hidden = text === "";
  }

  async submit() {
    const own = byId("own").checked;
    if (own && !this.file) {
      this.problem("Choose a text file first.");
      byId("choose").focus();
      return;
    }
    this.problem("");
    byId("train").disabled = true;
    try {
      await this.start({ preset: this.model.preset, settings: this.values() }, own ? this.file : null);
    } finally {
      byId("train").disabled = false;
    }
  }
}
