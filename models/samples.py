"""Training samples from a data set, as arrays."""
from pathlib import Path
import numpy as np
def read_chunks(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """dev"""
    a=np.load('/tmp/w/m/chunks_a.npz')['c']; h=np.load('/tmp/w/m/chunks_h.npz')['c']
    return a,h
