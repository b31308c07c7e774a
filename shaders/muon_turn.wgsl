// muon_turn: turns the matrices of a stack.
//
//   to[z] = x[z]^T
//
// out: to (matrices, COLS, ROWS)      in: x (matrices, ROWS, COLS)
// dispatch: x: ceil(COLS/32), y: ceil(ROWS/32) groups, z: matrices.  ROWS, COLS % 4 == 0. A matrix begins every SLOT
// quads.
//
// A thread turns 4 x 4 values in registers. Eight neighbours read 128 bytes of a row, and eight store 128 bytes.
//
// uses: store_f32 addends

struct Params { ROWS: u32, COLS: u32, SLOT: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> to: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let col = wid.x * 8u + lid.x; // of quads
    let row = wid.y * 8u + lid.y;
    let cols = p.COLS / 4u;
    let rows = p.ROWS / 4u;
    if col >= cols || row >= rows { return; }
    let at = wid.z * p.SLOT + row * 4u * cols + col;
    let c = turned(x[at], x[at + cols], x[at + 2u * cols], x[at + 3u * cols]);
    let out = wid.z * p.SLOT + col * 4u * rows + row;
    to[out] = c.k0;
    to[out + rows] = c.k1;
    to[out + 2u * rows] = c.k2;
    to[out + 3u * rows] = c.k3;
}
