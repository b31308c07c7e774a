// The file system that Go gets: what it answers, and what is left of it after a crash at any moment.
import assert from "node:assert/strict";
import test from "node:test";
import { Disk, constants as O, goFS } from "../disk.js";
import { MemoryDirectory } from "../memory.js";

const text = (s) => new TextEncoder().encode(s);
const create = O.O_RDWR | O.O_CREAT | O.O_EXCL;

// calls returns Node's fs calls of a disk as promises.
function calls(disk) {
  const fs = goFS(disk, () => {});
  return new Proxy(
    {},
    {
      get:
        (_, name) =>
        (...args) =>
          new Promise((resolve, reject) => fs[name](...args, (e, v) => (e ? reject(e) : resolve(v)))),
    },
  );
}

async function write(fs, path, content, flags = O.O_WRONLY | O.O_CREAT | O.O_TRUNC) {
  const fd = await fs.open(path, flags, 0o666);
  await fs.write(fd, text(content), 0, content.length, null);
  await fs.fsync(fd);
  await fs.close(fd);
}

const read = async (disk, path) => new TextDecoder().decode(await disk.bytes(path));
const refused = (promise, code) => assert.rejects(promise, { code });

test("files, directories and errors are Node's", async () => {
  const disk = await Disk.open(new MemoryDirectory()),
    fs = calls(disk);
  await fs.mkdir("/runs", 0o755);
  await refused(fs.mkdir("/runs", 0o755), "EEXIST");
  await refused(fs.mkdir("/none/below", 0o755), "ENOENT");
  await refused(fs.open("/runs/a", O.O_RDONLY, 0), "ENOENT");
  await write(fs, "/runs/a", "one");
  await refused(fs.open("/runs/a", create, 0o666), "EEXIST");
  await refused(fs.open("/runs", O.O_RDWR, 0), "EISDIR");
  await refused(fs.open("/runs/a/b", O.O_RDONLY, 0), "ENOTDIR");
  await refused(fs.stat("/runs/b"), "ENOENT");
  await refused(fs.rmdir("/runs"), "ENOTEMPTY");
  await refused(fs.unlink("/runs"), "EISDIR");
  await refused(fs.rmdir("/runs/a"), "ENOTDIR");
  await refused(fs.read(99, new Uint8Array(1), 0, 1, null), "EBADF");
  assert.deepEqual(await fs.readdir("/runs"), ["a"]);
  assert.equal((await fs.stat("/runs/./x/../a")).size, 3);
  assert.ok((await fs.stat("/runs")).isDirectory());

  const fd = await fs.open("/runs/a", O.O_RDWR | O.O_APPEND, 0);
  await fs.write(fd, text("two"), 0, 3, null);
  const bytes = new Uint8Array(8);
  assert.equal(await fs.read(fd, bytes, 1, 7, 0), 6);
  assert.equal(new TextDecoder().decode(bytes.subarray(1, 7)), "onetwo");
  assert.equal(await fs.read(fd, bytes, 0, 8, 6), 0);
  await fs.ftruncate(fd, 2);
  assert.equal((await fs.fstat(fd)).size, 2);
  await fs.close(fd);
  await fs.truncate("/runs/a", 1);
  assert.equal(await read(disk, "/runs/a"), "o");
});

test("one file may be open twice, and lives on without its name", async () => {
  const disk = await Disk.open(new MemoryDirectory()),
    fs = calls(disk);
  await write(fs, "/a", "abc");
  const [one, two] = await Promise.all([fs.open("/a", O.O_RDWR, 0), fs.open("/a", O.O_RDONLY, 0)]);
  await fs.unlink("/a");
  const bytes = new Uint8Array(3);
  await fs.write(one, text("x"), 0, 1, 1);
  await fs.close(one);
  assert.equal(await fs.read(two, bytes, 0, 3, null), 3);
  assert.equal(new TextDecoder().decode(bytes), "axc");
  await fs.close(two);
  await disk.sweeping;
  assert.deepEqual(
    [...disk.root.files.keys()].filter((n) => n.startsWith("c-")),
    [],
  );
});

test("a directory with files is renamed", async () => {
  const disk = await Disk.open(new MemoryDirectory()),
    fs = calls(disk);
  for (const dir of ["/tmp", "/tmp/new", "/old", "/empty"]) await fs.mkdir(dir, 0o755);
  await write(fs, "/tmp/new/a", "1");
  await write(fs, "/old/b", "2");
  await refused(fs.rename("/tmp/new", "/old"), "ENOTEMPTY");
  await refused(fs.rename("/tmp/new", "/old/b"), "ENOTDIR");
  await refused(fs.rename("/old/b", "/tmp"), "EISDIR");
  await refused(fs.rename("/tmp", "/tmp/new/x"), "EINVAL");
  await fs.rename("/tmp/new", "/empty");
  assert.equal(await read(disk, "/empty/a"), "1");
  assert.equal(disk.size("/"), 2);
  await fs.rename("/old/b", "/empty/a");
  assert.equal(await read(disk, "/empty/a"), "2");
  assert.deepEqual(await fs.readdir("/tmp"), []);
});

test("a full disk is ENOSPC, and what was there stays", async () => {
  const root = new MemoryDirectory(),
    disk = await Disk.open(root),
    fs = calls(disk);
  await write(fs, "/a", "abc");
  root.most = root.used();
  await refused(write(fs, "/a", "0".repeat(5000), O.O_WRONLY | O.O_APPEND), "ENOSPC");
  await refused(fs.mkdir("/dir", 0o755), "ENOSPC");
  root.most = Infinity;
  await fs.mkdir("/dir", 0o755);
  await disk.end();
  assert.equal(await read(await Disk.open(root), "/a"), "abc");
});

test("a second tab is refused", async () => {
  const root = new MemoryDirectory(),
    disk = await Disk.open(root);
  await refused(Disk.open(root), "EBUSY");
  await disk.end();
  await Disk.open(root);
});

test("contents that a Blob reads stay until the next one", async () => {
  const disk = await Disk.open(new MemoryDirectory()),
    fs = calls(disk);
  await write(fs, "/a", "abc");
  await write(fs, "/b", "d");
  const contents = () => [...disk.root.files.keys()].filter((n) => n.startsWith("c-")).length;
  const [blob] = await disk.blobs(["/a"]);
  await fs.unlink("/a");
  await disk.sweeping;
  assert.equal(contents(), 2);
  assert.equal(await blob.text(), "abc");
  await disk.blobs(["/b"]);
  await disk.sweeping;
  assert.equal(contents(), 1);
});

// A directory that keeps what a crash leaves after each of its operations: all that was done, or, after a power cut,
// what was flushed.
class Recorder extends MemoryDirectory {
  left = [];

  async getFileHandle(name, options) {
    const known = this.files.has(name),
      file = await super.getFileHandle(name, options);
    if (known) return file;
    for (const method of ["write", "truncate", "flush"]) {
      const original = file[method].bind(file);
      file[method] = (...args) => {
        const before = file.data.slice(0, file.size),
          result = original(...args);
        if (method === "flush") file.flushed = file.data.slice(0, file.size);
        const after = file.data.slice(0, file.size);
        for (let n = before.length; method === "write" && n < after.length; n += 7) this.keep(name, after.slice(0, n));
        this.keep();
        return result;
      };
    }
    this.keep();
    return file;
  }

  async removeEntry(name) {
    await super.removeEntry(name);
    this.keep();
  }

  keep(torn, content) {
    const crash = new Map(),
      cut = new Map();
    for (const [name, file] of this.files) {
      crash.set(name, name === torn ? content : file.data.slice(0, file.size));
      cut.set(name, file.flushed ?? new Uint8Array(0));
    }
    this.left.push(crash, cut);
  }
}

async function restored(contents) {
  const root = new MemoryDirectory();
  for (const [name, bytes] of contents) (await root.getFileHandle(name, { create: true })).write(bytes, { at: 0 });
  return root;
}

test("after a crash at any moment the newest checkpoint is whole", async () => {
  const root = new Recorder(),
    disk = await Disk.open(root),
    fs = calls(disk);
  const sync = async (path) => {
    const fd = await fs.open(path, O.O_RDONLY, 0);
    await fs.fsync(fd);
    await fs.close(fd);
  };
  await fs.mkdir("/run", 0o755);
  let begun = 0;
  for (let step = 1; step <= 3; step++) {
    // as train's checkpointer does it
    const [tmp, dir] = [`/run/.writing-${step}`, `/run/step-${step}`];
    await fs.mkdir(tmp, 0o755);
    for (const name of ["model", "state"]) await write(fs, `${tmp}/${name}`, `${name} of ${step}, `.repeat(3));
    await sync(tmp);
    await fs.rename(tmp, dir);
    await sync("/run");
    await write(fs, "/run/.latest.tmp", `step-${step}`, create);
    await fs.rename("/run/.latest.tmp", "/run/latest");
    await sync("/run");
    begun ||= root.left.length;
    if (step > 1) {
      await fs.rename(`/run/step-${step - 1}`, "/run/.old");
      for (const name of ["model", "state"]) await fs.unlink(`/run/.old/${name}`);
      await fs.rmdir("/run/.old");
    }
    await disk.sweeping;
  }
  const steps = new Set();
  for (const [i, contents] of root.left.entries()) {
    if (i < begun) {
      await Disk.open(await restored(contents)); // it opens, whatever there is
      continue;
    }
    const after = await Disk.open(await restored(contents));
    const latest = await read(after, "/run/latest"),
      step = latest.split("-")[1];
    steps.add(step);
    const names = after.readdir("/run");
    const whole = names.includes(latest) ? latest : names.filter((n) => n.startsWith("step-")).at(-1);
    assert.ok(whole, `moment ${i}: ${names}`);
    for (const name of ["model", "state"]) {
      assert.equal(
        await read(after, `/run/${whole}/${name}`),
        `${name} of ${whole.split("-")[1]}, `.repeat(3),
        `moment ${i}`,
      );
    }
    const again = await restored([...after.root.files].map(([n, f]) => [n, f.data.slice(0, f.size)]));
    assert.deepEqual(await read(await Disk.open(again), "/run/latest"), latest);
  }
  assert.deepEqual([...steps].sort(), ["1", "2", "3"]);
  assert.ok(root.left.length > 300, `${root.left.length} moments`);
});

test("contents without a name go at the start, and numbers are not used twice", async () => {
  const root = new MemoryDirectory(),
    first = await Disk.open(root),
    fs = calls(first);
  await write(fs, "/a", "abc");
  await first.end();
  (await root.getFileHandle("c-77", { create: true })).write(text("lost"), { at: 0 });
  const disk = await Disk.open(root);
  assert.ok(!root.files.has("c-77"));
  assert.equal(await read(disk, "/a"), "abc");
  await write(calls(disk), "/b", "new");
  assert.ok(root.files.has("c-78"));
});

test("files without a list that names them are kept, and the disk is refused", async () => {
  const root = new MemoryDirectory();
  const first = await Disk.open(root);
  await write(calls(first), "/a", "one");
  await first.end();
  const names = async () => {
    const all = [];
    for await (const [name] of root.entries()) all.push(name);
    return all.sort();
  };
  const before = await names();
  for (const name of before.filter((n) => n.startsWith("log-"))) {
    const handle = await (await root.getFileHandle(name)).createSyncAccessHandle();
    handle.write(text("x"), { at: 3 });
    handle.close();
  }
  await assert.rejects(Disk.open(root), { code: "EIO", name: "DamagedDisk" });
  assert.deepEqual(await names(), before);
  await assert.rejects(Disk.open(root), { name: "DamagedDisk" }); // nothing holds it
});
