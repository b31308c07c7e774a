// Package exactjson reads JSON as other languages do: a field takes the key of exactly its name, and the last one
// if there are several. encoding/json takes keys in any case, so that {"text": .., "Text": ..} gives the second
// one. Errors are for people: they name the byte, the key and the kinds of values, and never a type of this
// program.
package exactjson
