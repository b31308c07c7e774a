// Package plainfile opens regular files and nothing else. A named pipe or a device would block a reader or never end,
// and a directory has no content, so they are errors before anything is opened. Readers of files that others made
// use it.
package plainfile
