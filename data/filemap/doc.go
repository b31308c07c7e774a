// Package filemap gives a file's bytes as a slice. It maps the file into memory where the file system allows that,
// and reads it where it does not. So token shards and weights larger than memory open at once, and still open on
// file systems without mapping.
package filemap
