//! One node's control brain: membership, catalog and routing composed; Input in, Output out.
