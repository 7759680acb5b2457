//! What earlier retrainings have left.
