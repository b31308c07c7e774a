// The Worker: the Go program, its files, and the calls of the page.
//
// From the page: {id, call, args}; to the page: {id, result} or {id, error: {name, message}}, and the program's events.
// cmd/web describes the program's calls and events; those below are the Worker's own.

import "./wasm_exec.js";
import "./replay.js";
import { Disk, goFS } from "./disk.js";
import { MemoryDirectory } from "./memory.js";

const tokenizerFile = "/assets/r50k_base.tiktoken";

let disk, wasm;
const decoder = new TextDecoder();
let printed = ""; // the newest text on standard output and error, which a crash explains

function print(fd, bytes) {
  printed = (printed + decoder.decode(bytes)).slice(-8000);
  console.log(decoder.decode(bytes).trimEnd());
}

const own = {
  // start opens the disk and runs the program. It returns whether the browser keeps the files, and why not.
  async start() {
    const { root, why } = await directory();
    disk = await mounted(root);
    for (const name of ["/tmp", "/runs", "/models", "/in", "/assets"]) {
      try {
        disk.mkdir(name);
      } catch (e) {
        if (e.code !== "EEXIST") throw e;
      }
    }
    for (const name of disk.readdir("/tmp")) disk.remove(`/tmp/${name}`);
    globalThis.fs = goFS(disk, print);
    globalThis.process = {
      pid: 1,
      ppid: 0,
      getuid: () => 0,
      getgid: () => 0,
      geteuid: () => 0,
      getegid: () => 0,
      getgroups: () => [],
      umask: () => 0o022,
      cwd: () => "/",
      chdir: () => {},
    };
    globalThis.path = { resolve: (...parts) => parts.join("/") };
    const version = await run();
    return { kept: why === "", why, ...version };
  },

  // put writes a file below /in, under a name that is free, and returns its path.
  async put({ file, name }) {
    const clean = name.replace(/[^\w.-]+/g, "_").replace(/^\.+/, "") || "file";
    const [, stem, end] = /^(.*?)(\.\w+)?$/.exec(clean);
    const taken = new Set(disk.readdir("/in"));
    let path = clean;
    for (let n = 2; taken.has(path); n++) path = `${stem}-${n}${end ?? ""}`;
    try {
      await disk.save(`/in/${path}`, file.stream());
    } catch (e) {
      if (disk.readdir("/in").includes(path)) disk.unlink(`/in/${path}`);
      throw e;
    }
    return { path: `/in/${path}` };
  },

  // zip returns a run's newest checkpoint, or a model, as an archive: {name, blob}.
  async zip(args) {
    const path = "/tmp/archive.zip";
    const fd = await disk.open(path, 2 | 64 | 512, 0o644); // O_RDWR, O_CREAT, O_TRUNC
    let name;
    try {
      ({ name } = await gpt2wgpu.call("zip", args, (bytes) => void disk.write(fd, bytes, 0, bytes.length, null)));
    } finally {
      disk.close(fd);
    }
    const [blob] = await disk.blobs([path]);
    disk.unlink(path); // the content stays for as long as blob is the newest
    return { name: `${name}.zip`, blob: new Blob([blob], { type: "application/zip" }) };
  },

  // file returns a file's content as a Blob.
  async file({ path }) {
    return new Blob([await disk.bytes(path)]);
  },

  // runs returns the program's, with the bytes that each takes.
  async runs(args) {
    const runs = await gpt2wgpu.call("runs", args);
    return runs.map((run) => ({ ...run, bytes: disk.size(run.out) }));
  },

  // tidy removes texts below /in that no run uses.
  async tidy() {
    const used = new Set((await gpt2wgpu.call("runs", {})).flatMap(({ config }) => [config?.data, config?.val_data]));
    for (const name of disk.readdir("/in")) if (!used.has(`/in/${name}`)) disk.unlink(`/in/${name}`);
    return {};
  },

  // erase removes all that this origin has stored for the program, where the disk does not open.
  async erase() {
    const top = await navigator.storage.getDirectory();
    await top.removeEntry("gpt2wgpu", { recursive: true });
    return {};
  },

  // memory returns the program's memory in bytes.
  memory() {
    return { wasm: wasm.exports.mem.buffer.byteLength };
  },
};

// directory returns where files are kept, and why they are kept only in memory: "" if they are not.
async function directory() {
  try {
    const top = await navigator.storage.getDirectory();
    const root = await top.getDirectoryHandle("gpt2wgpu", { create: true });
    if (!globalThis.FileSystemFileHandle?.prototype.createSyncAccessHandle) throw new Error("no sync access handles");
    return { root, why: "" };
  } catch (e) {
    return { root: new MemoryDirectory(), why: String(e.message) };
  }
}

// mounted opens the disk, once no other tab has it: for a few seconds a tab that is just closing still does.
async function mounted(root) {
  if (navigator.locks) {
    const free = new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(5000);
      navigator.locks.request("gpt2wgpu", { signal }, () => new Promise(() => resolve())).catch(reject);
    });
    await free.catch(() => {
      throw Object.assign(new Error("another tab of this browser has the runs open"), { name: "OtherTab" });
    });
  }
  for (let tries = 0; ; tries++) {
    try {
      return await Disk.open(root);
    } catch (e) {
      if (e.code !== "EBUSY" || tries > 25) throw e;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

// run starts the program, and returns what it says of itself.
async function run() {
  const go = new Go();
  go.argv = ["gpt2wgpu"];
  go.env = { TMPDIR: "/tmp", HOME: "/" };
  const source = await fetch("web.wasm");
  if (!source.ok) throw new Error(`web.wasm cannot be loaded: HTTP status ${source.status}`);
  const typed = source.headers.get("Content-Type")?.startsWith("application/wasm");
  const { instance } = await (typed
    ? WebAssembly.instantiateStreaming(source, go.importObject)
    : WebAssembly.instantiate(await source.arrayBuffer(), go.importObject)); // servers that don't know the type
  wasm = instance;
  return new Promise((resolve, reject) => {
    globalThis.gpt2wgpu = {
      event(e) {
        if (e.event === "ready") resolve(e);
        else postMessage({ ...e, at: Date.now() });
      },
    };
    const died = (e) => {
      const message = reason(e);
      reject(new Error(message));
      postMessage({ event: "crash", message });
    };
    go.run(instance).then(() => died(), died);
  });
}

// reason is the line of what was printed that says why the program has died.
function reason(e) {
  const line = printed.split("\n").findLast((l) => /^(panic|fatal error|runtime): /.test(l));
  return line ?? e?.message ?? "the program has ended";
}

// prepared brings GPT-2's tokenizer to the disk, before what may use it.
async function prepared(call, args) {
  if (!["train", "resume", "sample", "import", "plan"].includes(call)) return;
  if (["train", "plan"].includes(call) && !args.settings?.init && (args.preset ?? "tiny") === "tiny") return;
  if (disk.readdir("/assets").length > 0) return;
  const response = await fetch("r50k_base.tiktoken");
  if (response.ok) await disk.save(tokenizerFile, response.body);
}

self.onmessage = async ({ data: { id, call, args } }) => {
  try {
    if (!own[call]) await prepared(call, args);
    postMessage({ id, result: await (own[call] ? own[call](args) : gpt2wgpu.call(call, args)) });
  } catch (e) {
    const full = e.name === "QuotaExceededError" || e.code === "ENOSPC";
    const message = full
      ? "the browser gives this page no more space; hint: delete runs that you don't need"
      : e.message;
    postMessage({ id, error: { name: e.name ?? "Error", message } });
  }
};
