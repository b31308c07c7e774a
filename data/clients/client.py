"""What other programs do with our files, and we with theirs. clients_test.go calls it:

  client.py ids DIR...                   the ids that transformers' AutoTokenizer gives each text of stdin (a JSON array);
                                         DIR.saved gets what transformers writes of it
  client.py resave DIR OUT TYPE PARTS    weights read and written again as TYPE (F32, F16, BF16) in PARTS files
  client.py shard FILE OUT               ids of a token shard; numpy writes them again to OUT
  client.py parquet OUT                  the texts of stdin (null among them) in every way that pyarrow writes a column "text",
                                         and OUT/refused with columns that are no texts

Prints one JSON value.
"""
import itertools, json, os, shutil, sys

import numpy as np


def ids(*folders):
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    texts = json.load(sys.stdin)

    def of(folder):
        tok = AutoTokenizer.from_pretrained(folder)
        encoded = [tok.encode(text, add_special_tokens=False) for text in texts]
        config, generation = AutoConfig.from_pretrained(folder), GenerationConfig.from_pretrained(folder)
        for part in tok, config, generation:
            part.save_pretrained(folder + ".saved")
        shutil.copy(os.path.join(folder, "model.safetensors"), folder + ".saved")
        return {"ids": encoded, "texts": [tok.decode(e) for e in encoded], "size": len(tok), "tokenizer_eos": tok.eos_token_id,
                "vocab_size": config.vocab_size, "bos": [config.bos_token_id, generation.bos_token_id],
                "eos": [config.eos_token_id, generation.eos_token_id]}

    return {folder: of(folder) for folder in folders}


def resave(folder, out, dtype, parts):
    import safetensors
    from safetensors.numpy import load_file

    def narrow(x):
        if dtype == "BF16":  # numpy has none: round half to even by hand
            bits = x.view(np.uint32)
            return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
        return x.astype({"F32": np.float32, "F16": np.float16}[dtype])

    tensors, parts = load_file(os.path.join(folder, "model.safetensors")), int(parts)
    names = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    weight_map = {}
    os.makedirs(out)
    for i in range(parts):
        file = "model.safetensors" if parts == 1 else f"model-{i + 1:05}-of-{parts:05}.safetensors"
        part = {n: narrow(x) for n, x in list(tensors.items())[i::parts]}
        spec = {n: safetensors.TensorSpec(dtype=names[dtype], shape=x.shape, data_ptr=x.ctypes.data, data_len=x.nbytes) for n, x in part.items()}
        safetensors.serialize_file(spec, os.path.join(out, file), metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    if parts > 1:
        with open(os.path.join(out, "model.safetensors.index.json"), "w") as f:
            json.dump({"metadata": {}, "weight_map": weight_map}, f)
    shutil.copy(os.path.join(folder, "config.json"), out)
    return {n: list(x.shape) for n, x in tensors.items()}


def shard(file, out):
    if file.endswith(".npy"):
        tokens = np.load(file)
        np.save(out, tokens)
    else:  # llm.c
        header = np.fromfile(file, np.int32, 256)
        assert header[0] == 20240520 and header[1] == 1, header[:3]
        tokens = np.fromfile(file, np.uint16, offset=1024)
        assert len(tokens) == header[2]
        with open(out, "wb") as f:
            f.write(header.tobytes() + tokens.tobytes())
    assert tokens.dtype == np.uint16
    return tokens.tolist()


def parquet(out):
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = json.load(sys.stdin)
    os.makedirs(out)
    written = []

    def write(name, column, **options):
        table = pa.table({"id": list(range(len(texts))), "text": column, "tags": [["a", None]] * len(texts)})
        written.append(os.path.join(out, name + ".parquet"))
        pq.write_table(table, written[-1], **options)

    plain = pa.array(texts, pa.string())
    for codec, version in itertools.product(["none", "snappy", "gzip", "brotli", "zstd", "lz4"], ["1.0", "2.0"]):
        write(f"{codec}-{version}", plain, compression=codec, data_page_version=version)
    for encoding in ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]:
        write(encoding, plain, use_dictionary=False, column_encoding={"text": encoding})
    write("large_string", plain.cast(pa.large_string()))
    write("binary", plain.cast(pa.binary()))
    write("string_view", plain.cast(pa.string_view()))
    write("dictionary", plain.dictionary_encode())
    write("row_groups", plain, row_group_size=3, data_page_size=64, write_page_index=True, write_statistics=True)
    write("small_dictionary", plain, dictionary_pagesize_limit=64)
    write("format_1.0", plain, version="1.0", store_schema=False)
    write("page_checksum", plain, write_page_checksum=True)
    write("byte_stream_split", plain, use_dictionary=["text"], column_encoding={"id": "DELTA_BINARY_PACKED"})
    os.makedirs(os.path.join(out, "refused"))
    for name, column in {"list": [[t] for t in texts], "numbers": list(range(len(texts))), "struct": [{"text": t} for t in texts]}.items():
        pq.write_table(pa.table({"text": column}), os.path.join(out, "refused", name + ".parquet"))
    return written


print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
