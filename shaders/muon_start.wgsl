// muon_start: brings the matrices of a stack to the norm 1, as they are and turned.
//
//   kept[z] = scale[z] * u[z]      to[z] = kept[z]^T
//
// out: kept (matrices, ROWS, COLS)  to (matrices, COLS, ROWS)
// in: u, as kept      scale (matrices), muon_norm's
// dispatch: x: ceil(COLS/32), y: ceil(ROWS/32) groups, z: matrices.  ROWS, COLS % 4 == 0. A matrix begins every SLOT
// quads.
//
// A thread turns 4 x 4 values in registers. Eight neighbours read 128 bytes of a row, and eight store 128 bytes.
//
// uses: store_f32 addends

struct Params { ROWS: u32, COLS: u32, SLOT: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> kept: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> to: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> u: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> scale: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let col = wid.x * 8u + lid.x; // of quads
    let row = wid.y * 8u + lid.y;
    let cols = p.COLS / 4u;
    let rows = p.ROWS / 4u;
    if col >= cols || row >= rows { return; }
    let s = scale[wid.z];
    let at = wid.z * p.SLOT + row * 4u * cols + col;
    let r0 = u[at] * s;
    let r1 = u[at + cols] * s;
    let r2 = u[at + 2u * cols] * s;
    let r3 = u[at + 3u * cols] * s;
    kept[at] = r0;
    kept[at + cols] = r1;
    kept[at + 2u * cols] = r2;
    kept[at + 3u * cols] = r3;
    let c = turned(r0, r1, r2, r3);
    let out = wid.z * p.SLOT + col * 4u * rows + row;
    to[out] = c.k0;
    to[out + rows] = c.k1;
    to[out + 2u * rows] = c.k2;
    to[out + 3u * rows] = c.k3;
}
