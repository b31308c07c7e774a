// cache_append: the keys and values of new rows, into the caches of their sequences.
//
//   cache[b,first[b]+t,j] = qkv[b%R,t,C+j]      t < T, j < 2C; rows from S on are left out
//
// out: cache (B,S,2C), a key and a value per row; other rows are unchanged      in: qkv (R*T,3C), R = B or 1  first (B)
// dispatch: B*T*COLS groups, folded, COLS = ceil(2C/4 / (WG*PER)) for each row.  C % 4 == 0.
//
// R = 1 is one prompt for all sequences. Where rows go is read from a buffer, so that one program serves every
// position.
//
// uses: store

const WG: u32 = 64u; // spec: threads a group
const PER: u32 = 1u; // spec: quads a thread

struct Params { B: u32, R: u32, T: u32, S: u32, C: u32, COLS: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> cache: array<Quad>;
@group(0) @binding(2) var<storage, read> qkv: array<Quad>;
@group(0) @binding(3) var<storage, read> first: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let group = wid.y * nwg.x + wid.x;
    let b = group / p.COLS / p.T;
    if b >= p.B { return; }
    let t = group / p.COLS % p.T;
    let s = first[b] + t;
    if s >= p.S { return; }
    let c4 = p.C / 4u;
    for (var j = 0u; j < PER; j++) { // unroll
        let q = (group % p.COLS * PER + j) * WG + li;
        if q < 2u * c4 { cache[(b * p.S + s) * 2u * c4 + q] = qkv[(b % p.R * p.T + t) * 3u * c4 + c4 + q]; }
    }
}
