"""What no picture says of features: whether they are real, what they are for, whether another net has them too."""
