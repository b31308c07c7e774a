// block: four quads of a matrix in memory.
struct Block { r0: Quad, r1: Quad, r2: Quad, r3: Quad }
