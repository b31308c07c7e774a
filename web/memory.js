// The part of OPFS that disk.js uses, in memory: for browsers that keep no files (private windows), and for tests.

const gone = (kind, name) => Object.assign(new Error(`${name}: ${kind}`), { name: kind });

// MemoryDirectory is a FileSystemDirectoryHandle with files and no directories.
export class MemoryDirectory {
  constructor(most = Infinity) {
    this.files = new Map();
    this.most = most; // bytes of all files together
  }

  used() {
    let sum = 0;
    for (const f of this.files.values()) sum += f.size;
    return sum;
  }

  async getFileHandle(name, { create = false } = {}) {
    if (!this.files.has(name)) {
      if (!create) throw gone("NotFoundError", name);
      this.files.set(name, new MemoryFile(this, name));
    }
    return this.files.get(name);
  }

  async removeEntry(name) {
    if (this.files.get(name)?.open) throw gone("NoModificationAllowedError", name);
    if (!this.files.delete(name)) throw gone("NotFoundError", name);
  }

  async *entries() {
    yield* [...this.files];
  }
}

// MemoryFile is a FileSystemFileHandle and its FileSystemSyncAccessHandle.
class MemoryFile {
  constructor(directory, name) {
    Object.assign(this, { directory, name, data: new Uint8Array(0), size: 0, open: false });
  }

  async getFile() {
    return new Blob([this.data.subarray(0, this.size)]);
  }

  async createSyncAccessHandle() {
    if (this.open) throw gone("NoModificationAllowedError", this.name);
    this.open = true;
    return this;
  }

  getSize() {
    return this.size;
  }

  read(buffer, { at = 0 } = {}) {
    const from = this.data.subarray(at, Math.min(this.size, at + buffer.byteLength));
    buffer.set(from);
    return from.length;
  }

  write(buffer, { at = 0 } = {}) {
    this.truncate(Math.max(this.size, at + buffer.byteLength));
    this.data.set(buffer, at);
    return buffer.byteLength;
  }

  truncate(size) {
    const more = size - this.size;
    if (more > 0 && this.directory.used() + more > this.directory.most) throw gone("QuotaExceededError", this.name);
    if (size > this.data.length) {
      const data = new Uint8Array(Math.max(size, 2 * this.data.length));
      data.set(this.data.subarray(0, this.size));
      this.data = data;
    }
    if (size < this.size) this.data.fill(0, size, this.size);
    this.size = size;
  }

  flush() {}

  close() {
    this.open = false;
  }
}
