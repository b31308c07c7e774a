// The program in its Worker: calls, events, and a new Worker for one that has died.

export class Program {
  // event gets the program's events, and {event: "crash", message} when it dies.
  constructor(event) {
    this.event = event;
    this.next = 1;
    this.waiting = new Map();
  }

  // start starts the program in a new Worker, and returns what the Worker says of its files.
  start() {
    this.end();
    const worker = new Worker("worker.js", { type: "module", name: "gpt2wgpu" });
    this.worker = worker;
    worker.onmessage = ({ data }) => {
      if (this.worker !== worker) return;
      if (data.event) {
        this.event(data);
        if (data.event === "crash") this.end(data.message);
        return;
      }
      const { resolve, reject } = this.waiting.get(data.id) ?? {};
      this.waiting.delete(data.id);
      if (data.error) reject?.(Object.assign(new Error(data.error.message), { name: data.error.name }));
      else resolve?.(data.result);
    };
    worker.onerror = (e) => {
      if (this.worker !== worker) return;
      const message = e.message || "the Worker cannot be loaded";
      this.event({ event: "crash", message });
      this.end(message);
    };
    return this.call("start");
  }

  // end ends the Worker, and fails the calls that wait for it.
  end(message = "the program was ended") {
    this.worker?.terminate();
    this.worker = null;
    for (const { reject } of this.waiting.values()) reject(Object.assign(new Error(message), { name: "Crash" }));
    this.waiting.clear();
  }

  // call returns the result of a call. Errors have a line as message, and "; hint: " before what to do.
  call(call, args = {}) {
    if (!this.worker) return Promise.reject(Object.assign(new Error("the program has ended"), { name: "Crash" }));
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, call, args });
    });
  }
}

// parts returns what an error says, and its hint: "" where it has none.
export function parts(error) {
  const [what, ...hint] = String(error?.message ?? error).split("; hint: ");
  return [what.charAt(0).toUpperCase() + what.slice(1), hint.join("; ")];
}
