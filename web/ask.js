// The prompt: text that the model in training, or one that is kept, goes on with.
import { byId, el, fill, put } from "./parts/dom.js";
import { clean } from "./live.js";
import { parts } from "./program.js";

export class Ask {
  constructor({ call }) {
    this.call = call;
    this.tag = 0;
    byId("ask-form").addEventListener("submit", (e) => {
      e.preventDefault();
      this.write();
    });
    byId("write-stop").addEventListener("click", () => this.call("cancel").catch(() => {}));
    byId("prompt").addEventListener("keydown", (e) => {
      if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) byId("ask-form").requestSubmit();
    });
  }

  // offer lists what can write: [{value, name}], where "" is the model in training.
  offer(sources) {
    const before = byId("source").value;
    fill(
      byId("source"),
      sources.map(({ value, name }) => el("option", { value, text: name })),
    );
    if (sources.some(({ value }) => value === before)) byId("source").value = before;
    byId("ask").hidden = sources.length === 0;
  }

  piece({ tag, text }) {
    if (tag === String(this.tag)) this.node.append(clean(text));
  }

  async write() {
    const answer = byId("answer"),
      prompt = byId("prompt").value;
    this.node = el("span");
    fill(answer, el("b", { text: prompt }), this.node);
    answer.hidden = false;
    answer.classList.add("caret");
    this.busy(true);
    const model = byId("source").value || undefined;
    try {
      const { text } = await this.call("sample", {
        prompt,
        model,
        tag: String(++this.tag),
        max_tokens: Number(byId("length").value) || 200,
        temperature: Number(byId("temperature").value),
        top_k: 50,
        seed: Math.floor(Math.random() * 2 ** 31),
      });
      put(this.node, clean(text));
    } catch (e) {
      this.node.append(el("span.bad", { text: `\n${parts(e).filter(Boolean).join(". ")}` }));
    }
    answer.classList.remove("caret");
    this.busy(false);
  }

  busy(on) {
    byId("write").disabled = on;
    byId("write-stop").hidden = !on;
  }
}
