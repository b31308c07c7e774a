// a_rows: the operand a (ROWS,SUMS) of a product, in rows of ASTRIDE from column ACOL on. Where SUMS % 4 > 0, the
// columns up to the next multiple of 4 are zero. Rows past the end read the last: they are never stored.
//
// A thread walks A_ROWS rows in registers: a_at returns where they begin, computed once, and load_a their q-th quads of
// addends. For tiles, block_a returns the q-th quads of four rows, a column for each addend, and a_place which rows4-th
// and which q-th quad the i-th of neighbouring threads takes, so that they read neighbours.
const A_ROWS: u32 = 1u;
const A_BLOCKS: u32 = TM;

fn a_at(row: u32) -> vec3<u32> { return vec3<u32>((min(row, p.ROWS - 1u) * p.ASTRIDE + p.ACOL) / 4u, 0u, 0u); }

fn load_a(at: vec3<u32>, q: u32) -> array<vec4<f32>, A_ROWS> { return array<vec4<f32>, A_ROWS>(unpack4(a[at.x + q])); }

fn block_a(row: u32, q: u32) -> mat4x4<f32> {
    let r0 = unpack4(a[a_at(row).x + q]);
    let r1 = unpack4(a[a_at(row + 1u).x + q]);
    let r2 = unpack4(a[a_at(row + 2u).x + q]);
    let r3 = unpack4(a[a_at(row + 3u).x + q]);
    return transpose(mat4x4<f32>(r0, r1, r2, r3));
}

fn a_place(i: u32, rows4: u32, sums4: u32) -> vec2<u32> { return vec2<u32>(i / sums4, i % sums4); }
