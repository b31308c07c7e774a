// A file system for Go over the browser's origin private file system (OPFS).
//
// OPFS cannot rename a directory everywhere, and its directory operations are not atomic. So the contents of files are
// OPFS files named by number, c-N, and the tree of names is a log, log-N. Each line of the log is one change: the CRC
// of a JSON text, a space, the text. A rename is one line. After a crash the tree is what the whole lines say.
// At the start the log is rewritten as one line, into a file with the next number; then the old file is removed.
//
// The log's sync access handle is exclusive: it is also the lock that keeps two tabs from one disk.

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let c = -1;
  for (let i = 0; i < bytes.length; i++) c = table[(c ^ bytes[i]) & 255] ^ (c >>> 8);
  return ~c >>> 0;
}

export const constants = {
  O_RDONLY: 0,
  O_WRONLY: 1,
  O_RDWR: 2,
  O_CREAT: 64,
  O_EXCL: 128,
  O_TRUNC: 512,
  O_APPEND: 1024,
  O_DIRECTORY: 65536,
};
const O = constants;
const DIRECTORY = 0o040755,
  FILE = 0o100644;

// fail returns an error of the operating system, as Go reads it.
function fail(code, path = "") {
  return Object.assign(new Error(path ? `${path}: ${code}` : code), { code });
}

const codes = { QuotaExceededError: "ENOSPC", NoModificationAllowedError: "EBUSY", NotFoundError: "EIO" };

// coded gives an error of the browser the code of an error of the operating system.
function coded(e) {
  return e.code && typeof e.code === "string" ? e : Object.assign(fail(codes[e.name] ?? "EIO"), { cause: e });
}

const encoder = new TextEncoder(),
  decoder = new TextDecoder();

function line(change) {
  const text = encoder.encode(JSON.stringify(change));
  return new Uint8Array([...encoder.encode(crc32(text).toString(16).padStart(8, "0") + " "), ...text, 10]);
}

// changes returns those of the whole lines at the beginning of a log.
function changes(bytes) {
  const all = [];
  for (let at = 0, end; (end = bytes.indexOf(10, at)) >= 0; at = end + 1) {
    const text = bytes.subarray(at + 9, end);
    if (crc32(text) !== parseInt(decoder.decode(bytes.subarray(at, at + 8)), 16)) break;
    all.push(JSON.parse(decoder.decode(text)));
  }
  return all;
}

function write(handle, bytes, at) {
  for (let done = 0; done < bytes.length;) {
    const n = handle.write(bytes.subarray(done), { at: at + done });
    if (n <= 0) throw fail("ENOSPC");
    done += n;
  }
}

// split returns the names of an absolute path.
function split(path) {
  const names = [];
  for (const name of path.split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  return names;
}

export class Disk {
  // Disk.open mounts what a FileSystemDirectoryHandle holds. Errors: EBUSY, another tab has it; DamagedDisk, there are
  // contents and no log that names them, so that nothing is removed.
  static async open(root) {
    const disk = new Disk();
    disk.root = root;
    const logs = [],
      contents = new Map();
    for await (const [name, handle] of root.entries()) {
      const [, kind, n] = /^(log|c)-(\d+)$/.exec(name) ?? [];
      if (kind === "log") logs.push([Number(n), handle]);
      if (kind === "c") contents.set(Number(n), handle);
    }
    logs.sort((a, b) => b[0] - a[0]);
    const held = [];
    let named = contents.size === 0;
    try {
      for (const [n, handle] of logs) {
        // all of them, so that one tab has the disk
        held.push([n, await handle.createSyncAccessHandle()]);
      }
      for (const [, handle] of held) {
        const bytes = new Uint8Array(handle.getSize());
        handle.read(bytes, { at: 0 });
        const all = changes(bytes);
        if (all[0]?.tree) {
          all.forEach((c) => disk.apply(c));
          named = true;
          break;
        }
      }
      if (!named) throw Object.assign(fail("EIO"), { name: "DamagedDisk", message: "the list of files is damaged" });
      await disk.mount(contents);
      await disk.startLog((logs[0]?.[0] ?? 0) + 1);
    } catch (e) {
      held.forEach(([, handle]) => handle.close());
      throw coded(e);
    }
    for (const [n, handle] of held) {
      handle.close();
      await root.removeEntry(`log-${n}`);
    }
    return disk;
  }

  constructor() {
    // A node is {n, time, names: Map} or {n, time, size, handle, opens, links}.
    this.nodes = new Map([[1, { n: 1, time: 0, names: new Map() }]]);
    this.next = 2;
    this.fds = new Map();
    this.nextFD = 10;
    this.doomed = new Set(); // contents without a name
    this.kept = new Set(); // nodes whose contents a Blob still reads
  }

  // apply makes a change of the log.
  apply(c) {
    if (c.tree) {
      this.nodes = new Map(c.tree.map(([n, time, names]) => [n, { n, time, ...(names && { names: new Map(names) }) }]));
      this.next = Math.max(...this.nodes.keys()) + 1;
    } else if (c.make) {
      this.nodes.set(c.make, { n: c.make, time: c.time, ...(c.dir && { names: new Map() }) });
      this.nodes.get(c.at).names.set(c.name, c.make);
      this.next = Math.max(this.next, c.make + 1);
    } else if (c.move) {
      const from = this.nodes.get(c.at).names,
        to = this.nodes.get(c.to).names;
      const n = from.get(c.move);
      from.delete(c.move);
      this.drop(to.get(c.name));
      to.set(c.name, n);
    } else if (c.remove) {
      const { names } = this.nodes.get(c.at);
      this.drop(names.get(c.remove));
      names.delete(c.remove);
    } else if (c.touch) {
      this.nodes.get(c.touch).time = c.time;
    }
  }

  drop(n) {
    const node = this.nodes.get(n);
    if (!node) return;
    this.nodes.delete(n);
    if (!node.names) this.doomed.add(node);
  }

  // mount joins the tree with the contents that are there, and removes contents without a name.
  async mount(contents) {
    this.doomed.clear();
    for (const node of this.nodes.values()) {
      if (node.names) continue;
      node.opens = 0;
      node.file = contents.get(node.n) ?? (await this.root.getFileHandle(`c-${node.n}`, { create: true }));
      node.size = (await node.file.getFile()).size;
      contents.delete(node.n);
    }
    for (const n of contents.keys()) {
      await this.root.removeEntry(`c-${n}`);
      this.next = Math.max(this.next, n + 1);
    }
  }

  async startLog(n) {
    this.log = await (await this.root.getFileHandle(`log-${n}`, { create: true })).createSyncAccessHandle();
    const bytes = line({ tree: [...this.nodes.values()].map((v) => [v.n, v.time, v.names && [...v.names]]) });
    this.log.truncate(0);
    write(this.log, bytes, 0);
    this.log.flush();
    this.logSize = bytes.length;
  }

  // record writes a change to the log and makes it. With an error neither has happened.
  record(change, durable = false) {
    const bytes = line(change);
    try {
      write(this.log, bytes, this.logSize);
    } catch (e) {
      this.log.truncate(this.logSize);
      throw e;
    }
    this.logSize += bytes.length;
    this.apply(change);
    if (durable) this.log.flush();
    this.sweep();
  }

  // sweep removes contents that have no name and are not open, once the log no longer names them on the disk.
  sweep() {
    if (this.doomed.size > 0) this.sweeping ??= this.sweepAll().finally(() => (this.sweeping = null));
  }

  async sweepAll() {
    for (;;) {
      await null;
      const free = [...this.doomed].filter((node) => node.opens === 0 && !this.kept.has(node));
      if (free.length === 0) return;
      this.log.flush();
      for (const node of free) {
        this.doomed.delete(node);
        await this.root.removeEntry(`c-${node.n}`).catch(() => {}); // the next start tries again
      }
    }
  }

  // find returns the node of a path.
  find(path) {
    let node = this.nodes.get(1);
    for (const name of split(path)) {
      if (!node.names) throw fail("ENOTDIR", path);
      node = this.nodes.get(node.names.get(name));
      if (!node) throw fail("ENOENT", path);
    }
    return node;
  }

  // parent returns the directory of a path, and the path's last name.
  parent(path) {
    const names = split(path),
      name = names.pop();
    if (name === undefined) throw fail("EBUSY", path); // the root
    const node = this.find("/" + names.join("/"));
    if (!node.names) throw fail("ENOTDIR", path);
    return [node, name];
  }

  fd(fd) {
    const f = this.fds.get(fd);
    if (!f) throw fail("EBADF");
    return f;
  }

  file(fd) {
    const f = this.fd(fd);
    if (f.node.names) throw fail("EISDIR");
    return f;
  }

  // open returns the number of an open file.
  async open(path, flags, mode) {
    const writes = (flags & 3) !== O.O_RDONLY;
    const [dir, name] = split(path).length > 0 ? this.parent(path) : [null, ""];
    let node = dir ? this.nodes.get(dir.names.get(name)) : this.nodes.get(1);
    if (node && flags & O.O_CREAT && flags & O.O_EXCL) throw fail("EEXIST", path);
    if (node?.names && (writes || flags & O.O_CREAT)) throw fail("EISDIR", path);
    if (node && !node.names && flags & O.O_DIRECTORY) throw fail("ENOTDIR", path);
    if (!node) {
      if (!(flags & O.O_CREAT)) throw fail("ENOENT", path);
      const n = this.next++;
      const file = await this.root.getFileHandle(`c-${n}`, { create: true });
      if (!this.nodes.has(dir.n)) throw fail("ENOENT", path); // removed meanwhile
      if (dir.names.has(name)) throw fail("EEXIST", path);
      this.record({ make: n, at: dir.n, name, time: Date.now() });
      node = Object.assign(this.nodes.get(n), { file, size: 0, opens: 0 });
    }
    if (!node.names) {
      node.opens++;
      try {
        node.handle ??= node.file.createSyncAccessHandle();
        node.handle = await node.handle;
        if (flags & O.O_TRUNC) this.resize(node, 0);
      } catch (e) {
        this.release(node);
        throw e;
      }
    }
    this.fds.set(this.nextFD, { node, at: 0, append: Boolean(flags & O.O_APPEND), dirty: false });
    return this.nextFD++;
  }

  release(node) {
    if (--node.opens > 0) return;
    node.handle?.close?.();
    node.handle = null;
    this.sweep();
  }

  close(fd) {
    const f = this.fd(fd);
    this.fds.delete(fd);
    if (f.dirty && this.nodes.has(f.node.n)) this.record({ touch: f.node.n, time: f.node.time });
    if (!f.node.names) this.release(f.node);
  }

  // read returns how many bytes it has read into buffer from offset on. position null: where the last read ended.
  read(fd, buffer, offset, length, position) {
    const f = this.file(fd);
    const n = f.node.handle.read(buffer.subarray(offset, offset + length), { at: position ?? f.at });
    if (position === null || position === undefined) f.at += n;
    return n;
  }

  write(fd, buffer, offset, length, position) {
    const f = this.file(fd);
    const at = f.append ? f.node.size : (position ?? f.at);
    try {
      write(f.node.handle, buffer.subarray(offset, offset + length), at);
    } finally {
      f.node.size = f.node.handle.getSize();
      f.node.time = Date.now();
      f.dirty = true;
    }
    if (f.append || position === null || position === undefined) f.at = at + length;
    return length;
  }

  resize(node, size) {
    node.handle.truncate(size);
    node.size = size;
    node.time = Date.now();
  }

  ftruncate(fd, size) {
    const f = this.file(fd);
    this.resize(f.node, size);
    f.dirty = true;
  }

  async truncate(path, size) {
    const fd = await this.open(path, O.O_WRONLY);
    try {
      this.ftruncate(fd, size);
    } finally {
      this.close(fd);
    }
  }

  fsync(fd) {
    const { node } = this.fd(fd);
    node.handle?.flush();
    this.log.flush();
  }

  statOf(node) {
    const size = node.names ? 0 : node.size;
    return {
      dev: 1,
      ino: node.n,
      mode: node.names ? DIRECTORY : FILE,
      nlink: 1,
      uid: 0,
      gid: 0,
      rdev: 0,
      size,
      blksize: 4096,
      blocks: Math.ceil(size / 512),
      atimeMs: node.time,
      mtimeMs: node.time,
      ctimeMs: node.time,
      isDirectory: () => Boolean(node.names),
    };
  }

  fstat(fd) {
    return this.statOf(this.fd(fd).node);
  }

  stat(path) {
    return this.statOf(this.find(path));
  }

  lstat(path) {
    return this.stat(path);
  }

  readdir(path) {
    const { names } = this.find(path);
    if (!names) throw fail("ENOTDIR", path);
    return [...names.keys()].sort();
  }

  mkdir(path) {
    const [dir, name] = split(path).length > 0 ? this.parent(path) : [this.nodes.get(1), null];
    if (name === null || dir.names.has(name)) throw fail("EEXIST", path);
    this.record({ make: this.next, dir: true, at: dir.n, name, time: Date.now() });
  }

  unlink(path) {
    const [dir, name] = this.parent(path);
    if (this.find(path).names) throw fail("EISDIR", path);
    this.record({ remove: name, at: dir.n });
  }

  rmdir(path) {
    const [dir, name] = this.parent(path),
      { names } = this.find(path);
    if (!names) throw fail("ENOTDIR", path);
    if (names.size > 0) throw fail("ENOTEMPTY", path);
    this.record({ remove: name, at: dir.n });
  }

  // rename is durable when it returns, and a crash before leaves the old names.
  rename(from, to) {
    const [dir, name] = this.parent(from),
      node = this.find(from);
    const [toDir, toName] = this.parent(to),
      over = this.nodes.get(toDir.names.get(toName));
    if (over === node) return;
    if (node.names && (to + "/").startsWith(from + "/")) throw fail("EINVAL", to);
    if (over?.names && !node.names) throw fail("EISDIR", to);
    if (over && !over.names && node.names) throw fail("ENOTDIR", to);
    if (over?.names?.size > 0) throw fail("ENOTEMPTY", to);
    this.record({ move: name, at: dir.n, to: toDir.n, name: toName }, true);
  }

  utimes(path, atime, mtime) {
    this.record({ touch: this.find(path).n, time: mtime * 1000 });
  }

  // OPFS has no modes and owners.
  chmod() {}
  fchmod() {}
  chown() {}
  fchown() {}
  lchown() {}

  // remove removes a path and all below it. Nothing is left of it after a crash: the names go first.
  remove(path) {
    const [dir, name] = this.parent(path);
    const below = (node) =>
      node.names &&
      [...node.names].forEach(([k, n]) => {
        below(this.nodes.get(n));
        this.record({ remove: k, at: node.n });
      });
    below(this.find(path));
    this.record({ remove: name, at: dir.n }, true);
  }

  // size returns the bytes of all files below path.
  size(path) {
    const sum = (node) =>
      node.names ? [...node.names.values()].reduce((n, child) => n + sum(this.nodes.get(child)), 0) : node.size;
    return sum(this.find(path));
  }

  // blobs returns the contents of files, without reading them. They stay on the disk until the next call, also when the
  // files go.
  blobs(paths) {
    const nodes = paths.map((path) => this.find(path));
    this.kept = new Set(nodes);
    this.sweep();
    return Promise.all(nodes.map((node) => node.file.getFile()));
  }

  // save writes a stream of bytes to a new file, and brings it to the disk.
  async save(path, stream) {
    const fd = await this.open(path, O.O_WRONLY | O.O_CREAT | O.O_TRUNC);
    try {
      for (const reader = stream.getReader(); ;) {
        const { done, value } = await reader.read();
        if (done) break;
        this.write(fd, value, 0, value.length, null);
      }
      this.fsync(fd);
    } finally {
      this.close(fd);
    }
  }

  // bytes returns a file's content.
  async bytes(path) {
    const fd = await this.open(path, O.O_RDONLY);
    try {
      const bytes = new Uint8Array(this.fd(fd).node.size);
      return bytes.subarray(0, this.read(fd, bytes, 0, bytes.length, 0));
    } finally {
      this.close(fd);
    }
  }

  // end closes all files. The disk is of no use afterwards.
  async end() {
    await this.sweeping;
    for (const node of this.nodes.values()) node.handle?.close?.();
    this.log.close();
  }
}

const calls = [
  "open",
  "close",
  "read",
  "ftruncate",
  "truncate",
  "fsync",
  "fstat",
  "stat",
  "lstat",
  "readdir",
  "mkdir",
  "unlink",
  "rmdir",
  "rename",
  "utimes",
  "chmod",
  "fchmod",
  "chown",
  "fchown",
  "lchown",
];

// goFS returns a disk as Go's globalThis.fs: Node's calls with a callback. print gets what Go writes to standard output
// (1) and standard error (2). What needs no promise calls back at once, so that Go may write inside a callback.
export function goFS(disk, print) {
  const fs = { constants };
  const back =
    (name) =>
    (...args) => {
      const done = args.pop();
      let result;
      try {
        result = disk[name](...args);
      } catch (e) {
        return done(coded(e));
      }
      if (result instanceof Promise)
        return void result.then(
          (v) => done(null, v),
          (e) => done(coded(e)),
        );
      done(null, result);
    };
  for (const name of calls) fs[name] = back(name);
  for (const name of ["readlink", "link", "symlink"]) fs[name] = (...args) => args.pop()(fail("ENOSYS"));
  fs.writeSync = (fd, bytes) => {
    print(fd, bytes);
    return bytes.length;
  };
  const toDisk = back("write");
  fs.write = (fd, bytes, offset, length, position, done) => {
    if (fd > 2) return toDisk(fd, bytes, offset, length, position, done);
    print(fd, bytes.subarray(offset, offset + length));
    done(null, length);
  };
  return fs;
}
