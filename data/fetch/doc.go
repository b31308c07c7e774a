// Package fetch brings published data sets and weights into the cache. A download is resumable, checked by its
// SHA-256, and then turned into what the program reads, such as token shards. It is the only package that uses the
// network.
package fetch
