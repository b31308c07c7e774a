// Package atomicfile writes whole files or none. A reader, or a power cut at any moment, finds the old content or
// the new. It is for files that must never be half written: checkpoints, shards, settings, caches.
//
// The content goes to a temporary file in the same directory, then to the disk, and only then gets its name. File
// systems that cannot sync (network and FUSE mounts that answer EINVAL or ENOTSUP) are written without syncing. The
// library renameio does the same, but its streaming half does not exist on Windows.
package atomicfile
