package tensorboard

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// Fields of event.proto, summary.proto, tensor.proto and tensor_shape.proto.
const (
	eventWallTime   = 1 // double, seconds
	eventStep       = 2
	eventVersion    = 3
	eventSummary    = 5
	eventSession    = 7
	sessionStatus   = 1
	sessionStart    = 1 // steps from this one on, of an earlier file, do not count any more
	summaryValue    = 1
	valueTag        = 1
	valueSimple     = 2 // float
	valueTensor     = 8
	valueMetadata   = 9
	metadataPlugin  = 1
	pluginName      = 1
	tensorType      = 1
	tensorString    = 7 // the type
	tensorShape     = 2
	shapeDim        = 2
	dimSize         = 1
	tensorStringVal = 8
)

// Writer appends events to a file.
type Writer struct {
	f   *os.File
	now func() time.Time
}

// Setting is a line of the settings' text.
type Setting struct{ Name, Value string }

// Open makes a new event file in dir, for steps from first on, which takes the place of those of earlier files. Errors:
// the file cannot be made.
func Open(dir string, first int, settings []Setting) (*Writer, error) {
	return open(dir, first, settings, time.Now)
}

func open(dir string, first int, settings []Setting, now func() time.Time) (*Writer, error) {
	// TensorBoard reads files of a directory in the order of their names.
	name := fmt.Sprintf("events.out.tfevents.%010d.gpt2wgpu.%d", now().Unix(), os.Getpid())
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("--tensorboard: %w; hint: check the disk's free space", atomicfile.Reason(err))
	}
	w := &Writer{f, now}
	err = w.event(0, eventVersion, []byte("brain.Event:2"))
	if err == nil && first > 0 {
		status := protowire.AppendVarint(protowire.AppendTag(nil, sessionStatus, protowire.VarintType), sessionStart)
		err = w.event(first, eventSession, status)
	}
	if err == nil {
		var b strings.Builder
		b.WriteString("| setting | value |\n|---|---|\n")
		for _, s := range settings {
			fmt.Fprintf(&b, "| %s | `%s` |\n", s.Name, strings.ReplaceAll(s.Value, "|", "\\|"))
		}
		err = w.event(first, eventSummary, text("settings", b.String()))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return w, nil
}

// Write appends what a record has. Kinds that it does not know it passes over. Error: the file cannot be written.
func (w *Writer) Write(m metrics.Line) error {
	var s []byte
	switch m.Kind {
	case metrics.KindTrain:
		s = scalar(s, "train/loss", m.Loss)
		s = scalar(s, "train/lr", m.LR)
		s = scalar(s, "train/grad_norm", m.GradNorm)
		s = scalar(s, "train/tokens_per_s", m.TokensPerS)
		s = scalar(s, "train/tokens", metrics.Float(m.Tokens))
	case metrics.KindVal:
		s = scalar(s, "val/loss", m.Loss)
		if m.BitsPerByte > 0 {
			s = scalar(s, "val/bits_per_byte", m.BitsPerByte)
		}
	case metrics.KindHellaswag:
		s = scalar(s, "hellaswag/acc", m.Acc)
		s = scalar(s, "hellaswag/acc_norm", m.AccNorm)
	case metrics.KindSample:
		s = text("sample", "    "+strings.ReplaceAll(strings.ToValidUTF8(m.Text, "\uFFFD"), "\n", "\n    ")) // as code
	default:
		return nil
	}
	return w.event(m.Step, eventSummary, s)
}

// Close closes the file.
func (w *Writer) Close() error { return w.f.Close() }

// event appends an event with one field beside its time and step, in one call of the system.
func (w *Writer) event(step int, field protowire.Number, value []byte) error {
	seconds := float64(w.now().UnixNano()) / 1e9
	b := protowire.AppendFixed64(protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type),
		math.Float64bits(seconds))
	b = protowire.AppendVarint(protowire.AppendTag(b, eventStep, protowire.VarintType), uint64(step))
	b = bytesField(b, field, value)
	if _, err := w.f.Write(record(b)); err != nil {
		return fmt.Errorf("--tensorboard: %w; hint: check the disk's free space", atomicfile.Reason(err))
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is a CRC-32C as TFRecord stores it.
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// record frames data: its length (uint64), the length's checksum, data, data's checksum; all little endian.
func record(data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, masked(b))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, masked(data))
}

func bytesField(b []byte, field protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), value)
}

// scalar appends a value to a summary.
func scalar(summary []byte, tag string, v metrics.Float) []byte {
	b := bytesField(nil, valueTag, []byte(tag))
	b = protowire.AppendFixed32(protowire.AppendTag(b, valueSimple, protowire.Fixed32Type),
		math.Float32bits(float32(v)))
	return bytesField(summary, summaryValue, b)
}

// text is a summary of one Markdown text: a tensor of one string for the plugin of that name.
func text(tag, markdown string) []byte {
	dim := protowire.AppendVarint(protowire.AppendTag(nil, dimSize, protowire.VarintType), 1)
	tensor := protowire.AppendVarint(protowire.AppendTag(nil, tensorType, protowire.VarintType), tensorString)
	tensor = bytesField(tensor, tensorShape, bytesField(nil, shapeDim, dim))
	tensor = bytesField(tensor, tensorStringVal, []byte(markdown))
	metadata := bytesField(nil, metadataPlugin, bytesField(nil, pluginName, []byte("text")))
	b := bytesField(nil, valueTag, []byte(tag))
	b = bytesField(b, valueTensor, tensor)
	return bytesField(nil, summaryValue, bytesField(b, valueMetadata, metadata))
}
