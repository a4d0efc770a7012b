"""Two renderers behind one protocol: a flat z-buffer and a ray caster with light and shadow."""
