"""Whether another net has the same features: maps of two nets matched one to one, and layers compared by CKA."""
